// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct Elf;

namespace tracer::elf {

/// A function symbol: where it is in memory terms and in file terms.
struct FunctionSymbol {
  std::string name;              ///< without a version suffix ("malloc", not "malloc@@GLIBC_2.2.5")
  std::uint64_t address = 0;     ///< ELF vaddr
  std::uint64_t size_bytes = 0;  ///< 0 when the table does not say
};

/// A PT_LOAD segment.
struct Segment {
  std::uint64_t file_offset = 0;
  std::uint64_t address = 0;  ///< ELF vaddr
  std::uint64_t file_size_bytes = 0;
  bool executable = false;
};

enum class Machine { kX86_64, kArm64, kOther };

/// What the tracer wants to know of one ELF file, read once and kept without the file.
///
/// Reads headers, program headers, .dynsym, .symtab (or .gnu_debugdata) and the build id through a descriptor. Holds no
/// descriptor and no mapping afterwards. A malformed file (truncated, offsets outside of the file, cycles) fails with
/// kCorrupt and never reads out of bounds.
class ElfImage {
 public:
  /// Reads the file behind `fd` (its position does not matter; the descriptor stays the caller's).
  /// `wanted` names the functions to keep; empty keeps none.
  static Result<ElfImage> read(int fd, const std::vector<std::string_view>& wanted);

  bool is_64_bit() const { return is_64_bit_; }
  Machine machine() const { return machine_; }
  /// Lower-case hex of .note.gnu.build-id; empty when the file has none.
  const std::string& build_id() const { return build_id_; }
  const std::vector<Segment>& segments() const { return segments_; }
  /// Defined functions (STT_FUNC, in a section and an executable segment, not IFUNC) among `wanted`, from .dynsym,
  /// .symtab, and .gnu_debugdata where this one is missing; a name occurs once per distinct address. Sorted by address,
  /// then by name.
  const std::vector<FunctionSymbol>& functions() const { return functions_; }
  /// The path in PT_INTERP; empty for static programs and libraries.
  const std::string& interpreter() const { return interpreter_; }
  /// Made by the Go compiler (it has a section .go.buildinfo): its own heap comes from no allocator function.
  bool is_go() const { return is_go_; }

  /// ELF vaddr of a file offset inside an executable segment, and back.
  std::optional<std::uint64_t> address_of_offset(std::uint64_t file_offset) const;
  std::optional<std::uint64_t> offset_of_address(std::uint64_t address) const;

 private:
  Result<void> read_segments(Elf* elf, std::uint64_t file_size);
  Result<void> read_functions(Elf* elf, std::uint64_t file_size, const std::vector<std::string_view>& wanted);

  bool is_64_bit_ = false;
  bool is_go_ = false;
  Machine machine_ = Machine::kOther;
  std::string build_id_;
  std::string interpreter_;
  std::vector<Segment> segments_;
  std::vector<FunctionSymbol> functions_;
};

/// Reads up to `size_bytes` of the file at `file_offset`; shorter at the end of the file.
Result<std::vector<std::uint8_t>> read_bytes(int fd, std::uint64_t file_offset, std::size_t size_bytes);

}  // namespace tracer::elf
