// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace tracer::elf {

/// A function that a file calls through a pointer which the dynamic linker sets.
struct Import {
  std::string name;           ///< without a version suffix
  std::uint64_t address = 0;  ///< ELF vaddr where the same file defines it; 0: another one does
};

/// Which function each pointer of a file's global offset table is for, by the pointer's ELF vaddr.
///
/// Of x86-64 files with section headers; empty for others and for malformed ones. Where a file defines the function
/// itself, another one could still take its place (symbol interposition): a guess that the caller has to allow for.
using Imports = std::map<std::uint64_t, Import>;

/// The descriptor stays the caller's.
Imports read_imports(int fd);

}  // namespace tracer::elf
