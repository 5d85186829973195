// SPDX-License-Identifier: Apache-2.0
// Reads any bytes as an ELF file with DWARF and asks about addresses in it.

#include <cstdint>
#include <cstdlib>
#include <vector>

#include "symbols/dwarf_lines.h"
#include "symbols/elf_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tracer;
  auto file = symbols::ElfFile::from_memory(std::vector<char>(data, data + size));
  if (!file) return 0;
  // What is shared is looked for in the file itself, which has everything that may be asked for.
  const auto shared = [&](const std::string&, const std::string&) {
    return symbols::ElfFile::from_memory(std::vector<char>(data, data + size));
  };
  const auto lines = symbols::DwarfLines::open(file->handle(), shared);
  if (!lines) return 0;
  for (std::uint64_t address = 0x401000; address < 0x401080; address += 5) (void)lines->frames_at(address);
  for (const std::uint64_t address : {0ULL, 1ULL, ~0ULL}) (void)lines->frames_at(address);
  return 0;
}
