// SPDX-License-Identifier: Apache-2.0
#include "symbols/symbol_table.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <tuple>

namespace tracer::symbols {
namespace {

constexpr std::uint64_t kEndOfMemory = std::numeric_limits<std::uint64_t>::max();

std::string_view without_version(std::string_view name) {
  const std::size_t at = name.find('@', 1);
  return at == std::string_view::npos ? name : name.substr(0, at);
}

// "_Z…" and "_R…" are mangled names; their underscore says nothing about who should call them.
std::size_t leading_underscores(std::string_view name) {
  if (name.starts_with("_Z") || name.starts_with("_R")) return 0;
  return std::min(name.find_first_not_of('_'), name.size());
}

std::uint32_t penalty_of(std::string_view name, const GElf_Sym& symbol) {
  const bool label = GELF_ST_TYPE(symbol.st_info) == STT_NOTYPE;
  const bool local = GELF_ST_BIND(symbol.st_info) == STB_LOCAL;
  const auto underscores = static_cast<std::uint32_t>(std::min<std::size_t>(leading_underscores(name), 0xff));
  const auto length = static_cast<std::uint32_t>(std::min<std::size_t>(name.size(), 0xffff));
  return (label ? 1u << 31 : 0) | (local ? 1u << 30 : 0) | underscores << 16 | length;
}

// Hand-written assembler often leaves the type away; data symbols never lie in an executable section.
bool is_function(const GElf_Sym& symbol, const GElf_Shdr* section) {
  switch (GELF_ST_TYPE(symbol.st_info)) {
    case STT_FUNC:
    case STT_GNU_IFUNC:
      return true;
    case STT_NOTYPE:
      return section != nullptr && (section->sh_flags & SHF_EXECINSTR) != 0;
    default:
      return false;
  }
}

std::uint64_t saturating_add(std::uint64_t a, std::uint64_t b) { return a > kEndOfMemory - b ? kEndOfMemory : a + b; }

}  // namespace

void SymbolTable::add(Elf* elf) {
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section)) != nullptr;) add_section(elf, section);
}

void SymbolTable::add_section(Elf* elf, Elf_Scn* section) {
  GElf_Shdr header;
  if (gelf_getshdr(section, &header) == nullptr) return;
  if (header.sh_type != SHT_SYMTAB && header.sh_type != SHT_DYNSYM) return;
  Elf_Data* data = elf_getdata(section, nullptr);
  if (data == nullptr || data->d_buf == nullptr) return;
  GElf_Sym symbol;
  for (int i = 0; gelf_getsym(data, i, &symbol) != nullptr; ++i) add_symbol(elf, header.sh_link, symbol);
}

void SymbolTable::add_symbol(Elf* elf, std::size_t strings, const GElf_Sym& symbol) {
  const bool reserved = symbol.st_shndx >= SHN_LORESERVE && symbol.st_shndx != SHN_XINDEX;
  if (symbol.st_shndx == SHN_UNDEF || reserved || symbol.st_value == 0) return;
  GElf_Shdr memory;
  const GElf_Shdr* section = gelf_getshdr(elf_getscn(elf, symbol.st_shndx), &memory);
  if (!is_function(symbol, section)) return;
  const char* name = elf_strptr(elf, strings, symbol.st_name);
  if (name == nullptr || *name == '\0') return;

  const bool sized = symbol.st_size != 0;
  std::uint64_t end = saturating_add(symbol.st_value, symbol.st_size);
  if (!sized) end = section == nullptr ? kEndOfMemory : saturating_add(section->sh_addr, section->sh_size);
  symbols_.push_back({symbol.st_value, end, name, penalty_of(without_version(name), symbol), sized});
}

void SymbolTable::keep_one_per_address() {
  std::sort(symbols_.begin(), symbols_.end(), [](const Symbol& a, const Symbol& b) {
    return std::tie(a.address, a.penalty) != std::tie(b.address, b.penalty)
               ? std::tie(a.address, a.penalty) < std::tie(b.address, b.penalty)
               : std::strcmp(a.name, b.name) < 0;
  });
  auto last = symbols_.begin();
  for (auto next = symbols_.begin(); next != symbols_.end(); ++next) {
    if (next->address != last->address) {
      *++last = *next;
    } else if (next->sized) {
      // The best name may be one without a size or with a smaller one.
      last->end = last->sized ? std::max(last->end, next->end) : next->end;
      last->sized = true;
    }
  }
  if (!symbols_.empty()) symbols_.erase(last + 1, symbols_.end());
}

void SymbolTable::seal() {
  keep_one_per_address();
  for (std::size_t i = 0; i < symbols_.size(); ++i) {
    const Symbol& symbol = symbols_[i];
    std::uint64_t end = symbol.end;
    if (!symbol.sized && i + 1 < symbols_.size()) end = std::min(end, symbols_[i + 1].address);
    index_.add(symbol.address, end, {symbol.name, symbol.sized});
  }
  symbols_ = {};
  index_.seal();
}

std::string_view SymbolTable::name_at(std::uint64_t address) const {
  const char* best = nullptr;
  index_.visit(address, [&best](const Name& name) {
    if (best == nullptr || name.sized) best = name.text;
    return name.sized;
  });
  return best == nullptr ? std::string_view() : without_version(best);
}

}  // namespace tracer::symbols
