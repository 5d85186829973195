// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <elf.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace tracer::elf {

/// A file without a name, as a deleted library is one.
inline UniqueFd file_of(const std::vector<char>& contents) {
  UniqueFd fd(::memfd_create("elf", MFD_CLOEXEC));
  EXPECT_EQ(::write(fd.get(), contents.data(), contents.size()), static_cast<ssize_t>(contents.size()));
  return fd;
}

/// A small x86-64 library made byte by byte, to hold what no linker writes.
///
/// Code is at file offset 0x1000 and address 0x401000, data at 0x1100 and 0x602100, each 0x100 bytes; the section
/// headers come last. Parts may be changed before contents() puts them together, and the headers in it afterwards.
class MadeElf {
 public:
  static constexpr std::uint64_t kCode = 0x401000;
  static constexpr std::uint64_t kData = 0x602100;
  enum Table { kDynsym = 1, kDynstr, kSymtab, kStrtab, kNotes, kSections };

  struct Symbol {
    std::string name;
    std::uint64_t address = kCode;
    std::uint64_t size = 16;
    unsigned char type = STT_FUNC;
    std::uint16_t section = 1;
  };

  std::vector<Symbol> dynsym;
  std::vector<Symbol> symtab;
  std::uint32_t note_type = NT_GNU_BUILD_ID;
  std::string note_owner = "GNU";
  std::string note_contents = "\x01\x23\xab\xff";
  bool has_note_segment = true;

  std::vector<char> contents() const {
    std::vector<char> out(0x1200);
    std::vector<Elf64_Shdr> sections(kSections);
    const std::string notes = note();
    const Elf64_Phdr segments[]{
        {PT_LOAD, PF_R | PF_X, 0x1000, kCode, kCode, 0x100, 0x100, 0x1000},
        {PT_LOAD, PF_R | PF_W, 0x1100, kData, kData, 0x100, 0x100, 0x1000},
        {has_note_segment ? Elf64_Word{PT_NOTE} : Elf64_Word{PT_NULL}, PF_R, out.size(), 0, 0, notes.size(),
         notes.size(), 4},
    };
    add(&out, &sections[kNotes], SHT_NOTE, notes);
    sections[kNotes].sh_addralign = 4;
    add_symbols(&out, &sections[kDynsym], SHT_DYNSYM, dynsym);
    add_symbols(&out, &sections[kSymtab], SHT_SYMTAB, symtab);
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_DYN;
    header.e_machine = EM_X86_64;
    header.e_version = EV_CURRENT;
    header.e_ehsize = sizeof(Elf64_Ehdr);
    header.e_phoff = sizeof(Elf64_Ehdr);
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = std::size(segments);
    header.e_shoff = out.size();
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shnum = kSections;
    std::memcpy(out.data(), &header, sizeof(header));
    std::memcpy(out.data() + header.e_phoff, segments, sizeof(segments));
    const auto* table = reinterpret_cast<const char*>(sections.data());
    out.insert(out.end(), table, table + sections.size() * sizeof(Elf64_Shdr));
    return out;
  }

  /// The headers inside of contents(); valid until it is resized.
  static Elf64_Ehdr& header(std::vector<char>& file) { return *reinterpret_cast<Elf64_Ehdr*>(file.data()); }
  static Elf64_Phdr& segment(std::vector<char>& file, std::size_t index) {
    return reinterpret_cast<Elf64_Phdr*>(file.data() + header(file).e_phoff)[index];
  }
  static Elf64_Shdr& section(std::vector<char>& file, Table table) {
    return reinterpret_cast<Elf64_Shdr*>(file.data() + header(file).e_shoff)[table];
  }

 private:
  std::string note() const {
    const Elf64_Nhdr header{static_cast<Elf64_Word>(note_owner.size() + 1),
                            static_cast<Elf64_Word>(note_contents.size()), note_type};
    std::string out(reinterpret_cast<const char*>(&header), sizeof(header));
    for (const std::string& part : {note_owner + '\0', note_contents}) {
      out += part;
      out.resize((out.size() + 3) & ~std::size_t{3});
    }
    return out;
  }

  static void add(std::vector<char>* out, Elf64_Shdr* section, std::uint32_t type, const std::string& contents) {
    section->sh_type = type;
    section->sh_offset = out->size();
    section->sh_size = contents.size();
    section->sh_addralign = 8;
    out->insert(out->end(), contents.begin(), contents.end());
    out->resize((out->size() + 7) & ~std::size_t{7});
  }

  /// The table and, as the section behind it, its names.
  static void add_symbols(std::vector<char>* out, Elf64_Shdr* section, std::uint32_t type,
                          const std::vector<Symbol>& symbols) {
    std::string names(1, '\0');
    std::string table(sizeof(Elf64_Sym), '\0');
    for (const Symbol& symbol : symbols) {
      const Elf64_Sym entry{static_cast<Elf64_Word>(names.size()),
                            ELF64_ST_INFO(STB_GLOBAL, symbol.type),
                            STV_DEFAULT,
                            symbol.section,
                            symbol.address,
                            symbol.size};
      table.append(reinterpret_cast<const char*>(&entry), sizeof(entry));
      names += symbol.name + '\0';
    }
    add(out, section, type, table);
    section->sh_entsize = sizeof(Elf64_Sym);
    section->sh_link = type == SHT_DYNSYM ? kDynstr : kStrtab;
    add(out, section + 1, SHT_STRTAB, names);
  }
};

}  // namespace tracer::elf
