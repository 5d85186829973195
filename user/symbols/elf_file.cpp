// SPDX-License-Identifier: Apache-2.0
#include "symbols/elf_file.h"

#include <elfutils/libdwelf.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace tracer::symbols {
namespace {

Error corrupt(const std::string& what) { return Error(ErrorKind::kCorrupt, what); }

}  // namespace

std::string to_hex(std::span<const std::uint8_t> bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (std::uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

Result<ElfFile> ElfFile::open(UniqueFd fd, Access access) {
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) return Error::from_errno(errno, "stat of an ELF file");
  if (!S_ISREG(status.st_mode)) return corrupt("an ELF file is no regular file");
  elf_version(EV_CURRENT);
  Elf* elf = elf_begin(fd.get(), access == Access::kMap ? ELF_C_READ_MMAP : ELF_C_READ, nullptr);
  return checked(ElfFile(std::move(fd), {}, elf));
}

Result<ElfFile> ElfFile::from_memory(std::vector<char> image) {
  elf_version(EV_CURRENT);
  Elf* elf = elf_memory(image.data(), image.size());  // a moved vector keeps its data where it is
  return checked(ElfFile(UniqueFd(), std::move(image), elf));
}

Result<ElfFile> ElfFile::checked(ElfFile file) {
  if (!file.elf_) return corrupt(fmt::format("libelf: {}", elf_errmsg(-1)));
  if (elf_kind(file.handle()) != ELF_K_ELF) return corrupt("not an ELF file");
  return file;
}

std::string ElfFile::build_id() const {
  const void* bytes = nullptr;
  ssize_t size = dwelf_elf_gnu_build_id(handle(), &bytes);
  if (size <= 0) return {};
  return to_hex({static_cast<const std::uint8_t*>(bytes), static_cast<std::size_t>(size)});
}

std::optional<DebugLink> ElfFile::debug_link() const {
  GElf_Word crc = 0;
  const char* name = dwelf_elf_gnu_debuglink(handle(), &crc);
  if (name == nullptr || *name == '\0') return std::nullopt;
  return DebugLink{name, crc};
}

Elf_Data* ElfFile::section(const char* name) const {
  std::size_t names = 0;
  if (elf_getshdrstrndx(handle(), &names) != 0) return nullptr;
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(handle(), section)) != nullptr;) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr) continue;
    const char* found = elf_strptr(handle(), names, header.sh_name);
    if (found != nullptr && std::strcmp(found, name) == 0) return elf_rawdata(section, nullptr);
  }
  return nullptr;
}

}  // namespace tracer::symbols
