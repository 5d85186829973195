// SPDX-License-Identifier: Apache-2.0
#include "elf/imports.h"

#include <gelf.h>
#include <libelf.h>
#include <sys/stat.h>

#include <memory>
#include <string_view>

namespace tracer::elf {
namespace {

struct ElfCloser {
  void operator()(Elf* elf) const noexcept { elf_end(elf); }
};

bool is_inside(const GElf_Shdr& section, std::uint64_t file_size) {
  return section.sh_size <= file_size && section.sh_offset <= file_size - section.sh_size &&
         (section.sh_flags & SHF_COMPRESSED) == 0;
}

/// A symbol table with its names, both inside the file.
struct Symbols {
  Elf_Data* data = nullptr;
  std::size_t names_section = 0;
};

Symbols symbols_of(Elf* elf, const GElf_Shdr& relocations, std::uint64_t file_size) {
  Elf_Scn* section = elf_getscn(elf, relocations.sh_link);
  GElf_Shdr header;
  GElf_Shdr names;
  if (section == nullptr || gelf_getshdr(section, &header) == nullptr || !is_inside(header, file_size) ||
      gelf_getshdr(elf_getscn(elf, header.sh_link), &names) == nullptr || names.sh_type != SHT_STRTAB ||
      !is_inside(names, file_size))
    return {};
  return {elf_getdata(section, nullptr), header.sh_link};
}

bool is_for_a_function(std::uint64_t info) {
  const auto type = GELF_R_TYPE(info);
  return type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT || type == R_X86_64_64;
}

void add(Elf* elf, Elf_Data* relocations, const Symbols& symbols, Imports* imports) {
  GElf_Rela relocation;
  for (int i = 0; gelf_getrela(relocations, i, &relocation) != nullptr; ++i) {
    GElf_Sym symbol;
    if (!is_for_a_function(relocation.r_info) ||
        gelf_getsym(symbols.data, static_cast<int>(GELF_R_SYM(relocation.r_info)), &symbol) == nullptr)
      continue;
    const char* name = elf_strptr(elf, symbols.names_section, symbol.st_name);
    if (name == nullptr || *name == '\0') continue;
    const std::string_view text(name);
    (*imports)[relocation.r_offset] = {std::string(text.substr(0, text.find('@'))),
                                       symbol.st_shndx == SHN_UNDEF ? 0 : symbol.st_value};
  }
}

}  // namespace

Imports read_imports(int fd) {
  Imports imports;
  struct stat status {};
  if (::fstat(fd, &status) != 0) return imports;
  const auto file_size = static_cast<std::uint64_t>(status.st_size);
  elf_version(EV_CURRENT);
  const std::unique_ptr<Elf, ElfCloser> elf(elf_begin(fd, ELF_C_READ, nullptr));
  GElf_Ehdr header;
  if (!elf || gelf_getehdr(elf.get(), &header) == nullptr || header.e_machine != EM_X86_64) return imports;
  for (Elf_Scn* section = elf_nextscn(elf.get(), nullptr); section != nullptr;
       section = elf_nextscn(elf.get(), section)) {
    GElf_Shdr table;
    if (gelf_getshdr(section, &table) == nullptr || table.sh_type != SHT_RELA || !is_inside(table, file_size)) continue;
    const Symbols symbols = symbols_of(elf.get(), table, file_size);
    Elf_Data* data = elf_getdata(section, nullptr);
    if (symbols.data != nullptr && data != nullptr) add(elf.get(), data, symbols, &imports);
  }
  return imports;
}

}  // namespace tracer::elf
