// SPDX-License-Identifier: Apache-2.0
// Reads any bytes as an ELF file: as libraries are read when they are met, and as names are.

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <vector>

#include "base/unique_fd.h"
#include "elf/debug_data.h"
#include "elf/elf_image.h"
#include "symbols/elf_file.h"
#include "symbols/symbol_table.h"

namespace {

using namespace tracer;

void require(bool holds) {
  if (!holds) std::abort();
}

void read_image(const std::uint8_t* data, std::size_t size) {
  UniqueFd file(::memfd_create("fuzz", MFD_CLOEXEC));
  require(::write(file.get(), data, size) == static_cast<ssize_t>(size));
  const auto image = elf::ElfImage::read(file.get(), {"malloc", "free"});
  if (!image) return;
  for (const std::uint64_t offset : {0ULL, 1ULL, 0x1000ULL, ~0ULL}) (void)image->address_of_offset(offset);
}

void read_names(symbols::ElfFile& file) {
  symbols::SymbolTable names;
  names.add(file.handle());
  names.seal();
  for (const std::uint64_t address : {0ULL, 1ULL, 0x1000ULL, 0x1040ULL, 0x401000ULL, 0x401010ULL, ~0ULL})
    (void)names.name_at(address);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  read_image(data, size);
  auto file = symbols::ElfFile::from_memory(std::vector<char>(data, data + size));
  if (!file) return 0;
  (void)file->build_id();
  (void)file->debug_link();
  read_names(*file);
  if (const Elf_Data* packed = file->section(".gnu_debugdata"); packed != nullptr && packed->d_buf != nullptr) {
    auto unpacked = elf::decompress_xz({static_cast<const char*>(packed->d_buf), packed->d_size}, 1 << 20);
    auto inner = unpacked ? symbols::ElfFile::from_memory(std::move(unpacked).value())
                          : Result<symbols::ElfFile>(std::move(unpacked).error());
    if (inner) read_names(*inner);
  }
  return 0;
}
