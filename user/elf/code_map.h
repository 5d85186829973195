// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "elf/imports.h"
#include "elf/instruction.h"

namespace tracer::elf {

/// A function's code, or a part of it that the compiler has put elsewhere (".cold"), by ELF vaddr.
struct CodeRange {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
};

/// Where a call or a jump leads, through a stub of the procedure linkage table if there is one.
struct Destination {
  std::uint64_t address = 0;  ///< ELF vaddr; 0: in another file
  std::string name;           ///< of an import; empty for what is reached directly
};

/// What one has to know of a file to follow its code from function to function.
class CodeMap {
 public:
  virtual ~CodeMap() = default;
  /// The range that holds the address; nullopt where the file's call frame information names none.
  virtual std::optional<CodeRange> range_at(std::uint64_t address) const = 0;
  /// Up to `size_bytes` of code; shorter, or empty, where the file has no more.
  virtual std::vector<std::uint8_t> code_at(std::uint64_t address, std::size_t size_bytes) const = 0;
  /// What the pointer at `slot` is for; nullptr when the file does not say.
  virtual const Import* import_at(std::uint64_t slot) const = 0;

  Destination destination(std::uint64_t address) const;
  /// Of a call or a jump through a pointer that has its place in the file; nullopt for all others.
  std::optional<Destination> destination(const Instruction& instruction, std::uint64_t at) const;
};

/// Whether a function is one whose calls are counted anyway.
using IsCounted = std::function<bool(const Destination&)>;

}  // namespace tracer::elf
