// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gelf.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "symbols/interval_index.h"

namespace tracer::symbols {

/// The function symbols of one module, from any number of symbol tables, by address.
///
/// One name is kept per address: functions before labels, global before local, few leading underscores before many
/// ("malloc" rather than "__libc_malloc"), short before long. A symbol without a size reaches to the next one, yet not
/// out of its section, and gives way to one with a size around it.
///
/// Names point into the ELF handles that were added, which must outlive the table.
class SymbolTable {
 public:
  /// Takes .symtab and .dynsym of a file; broken entries are left out.
  void add(Elf* elf);

  /// Must follow the last add().
  void seal();

  /// Name of the symbol around an address, without a version suffix; empty when there is none.
  std::string_view name_at(std::uint64_t address) const;

 private:
  struct Symbol {
    std::uint64_t address;
    std::uint64_t end;  // of a symbol without a size: of its section
    const char* name;
    std::uint32_t penalty;  // among names of one address the lowest is kept
    bool sized;
  };
  struct Name {
    const char* text;
    bool sized;
  };

  void add_section(Elf* elf, Elf_Scn* section);
  void add_symbol(Elf* elf, std::size_t strings, const GElf_Sym& symbol);
  void keep_one_per_address();

  std::vector<Symbol> symbols_;
  IntervalIndex<Name> index_;
};

}  // namespace tracer::symbols
