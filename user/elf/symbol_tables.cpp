// SPDX-License-Identifier: Apache-2.0
#include "elf/symbol_tables.h"

#include <gelf.h>
#include <libelf.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "elf/debug_data.h"

namespace tracer::elf {
namespace {

constexpr std::uint64_t kLongestTable = 1 << 29;
constexpr std::uint64_t kLongestPacked = 1 << 26;
constexpr std::size_t kLongestUnpacked = 256U << 20;  // as in user/symbols: far above any that has names only

struct ElfCloser {
  void operator()(Elf* elf) const noexcept { elf_end(elf); }
};

bool is_function(const GElf_Sym& symbol) {
  const bool in_section =
      symbol.st_shndx != SHN_UNDEF && (symbol.st_shndx < SHN_LORESERVE || symbol.st_shndx == SHN_XINDEX);
  return GELF_ST_TYPE(symbol.st_info) == STT_FUNC && in_section && symbol.st_value != 0;
}

/// "malloc@@GLIBC_2.2.5", as .symtab has it, is "malloc".
std::string_view without_version(std::string_view name) { return name.substr(0, name.find('@')); }

/// A symbol table whose names libelf may be asked for.
struct SymbolTable {
  Elf_Data* data = nullptr;
  std::size_t names_section = 0;
};

/// The file's one table of that type (gABI: there is not more than one of each); empty when it has none.
/// Fails with kCorrupt when the table or its names are not in the file.
Result<SymbolTable> find_symbol_table(Elf* elf, GElf_Word type, std::uint64_t file_size) {
  const auto is_readable = [&](const GElf_Shdr& header) {
    // Compressed names unpack to any size; no linker writes them.
    return header.sh_size <= std::min(file_size, kLongestTable) && header.sh_offset <= file_size - header.sh_size &&
           (header.sh_flags & SHF_COMPRESSED) == 0;
  };
  for (Elf_Scn* section = elf_nextscn(elf, nullptr); section != nullptr; section = elf_nextscn(elf, section)) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type != type) continue;
    GElf_Shdr names;
    Elf_Scn* names_section = elf_getscn(elf, header.sh_link);
    if (!is_readable(header) || gelf_getshdr(names_section, &names) == nullptr || names.sh_type != SHT_STRTAB ||
        !is_readable(names))
      return Error(ErrorKind::kCorrupt, "not a usable ELF file: symbol table outside of the file");
    Elf_Data* data = elf_getdata(section, nullptr);
    if (data == nullptr) return Error(ErrorKind::kCorrupt, std::string("not a usable ELF file: ") + elf_errmsg(-1));
    return SymbolTable{data, header.sh_link};
  }
  return SymbolTable{};
}

/// Collects from the tables of one file, or of one that was packed into it.
class Collector {
 public:
  Collector(const std::set<std::string_view>& wanted, const std::function<bool(std::uint64_t)>& is_code)
      : wanted_(wanted), is_code_(is_code) {}

  /// False when there is no such table.
  Result<bool> collect(Elf* elf, GElf_Word type, std::uint64_t file_size) {
    const Result<SymbolTable> table = find_symbol_table(elf, type, file_size);
    if (!table) return table.error();
    GElf_Sym symbol;
    for (int i = 0; table->data != nullptr && gelf_getsym(table->data, i, &symbol) != nullptr; ++i) {
      if (!is_function(symbol) || !is_code_(symbol.st_value)) continue;
      const char* text = elf_strptr(elf, table->names_section, symbol.st_name);
      if (text == nullptr) continue;
      const auto name = wanted_.find(without_version(text));
      if (name == wanted_.end()) continue;
      std::uint64_t& size = sizes_[{symbol.st_value, *name}];
      size = std::max(size, std::uint64_t{symbol.st_size});
    }
    return table->data != nullptr;
  }

  FunctionSizes take() { return std::move(sizes_); }

 private:
  const std::set<std::string_view>& wanted_;
  const std::function<bool(std::uint64_t)>& is_code_;
  FunctionSizes sizes_;
};

/// The content of .gnu_debugdata; empty when there is none.
std::vector<char> unpack_debug_data(Elf* elf, std::uint64_t file_size) {
  std::size_t names = 0;
  if (elf_getshdrstrndx(elf, &names) != 0) return {};
  for (Elf_Scn* section = elf_nextscn(elf, nullptr); section != nullptr; section = elf_nextscn(elf, section)) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type != SHT_PROGBITS) continue;
    const char* name = elf_strptr(elf, names, header.sh_name);
    if (name == nullptr || std::strcmp(name, ".gnu_debugdata") != 0) continue;
    if (header.sh_size > std::min(file_size, kLongestPacked) || header.sh_offset > file_size - header.sh_size)
      return {};
    const Elf_Data* packed = elf_rawdata(section, nullptr);
    if (packed == nullptr || packed->d_buf == nullptr) return {};
    Result<std::vector<char>> image =
        decompress_xz({static_cast<const char*>(packed->d_buf), packed->d_size}, kLongestUnpacked);
    if (image) return std::move(*image);
    log::debug(".gnu_debugdata: {}", image.error().message());
    return {};
  }
  return {};
}

void collect_packed(Elf* elf, std::uint64_t file_size, Collector* collector) {
  std::vector<char> image = unpack_debug_data(elf, file_size);
  if (image.empty()) return;
  const std::unique_ptr<Elf, ElfCloser> inner(elf_memory(image.data(), image.size()));
  if (!inner || elf_kind(inner.get()) != ELF_K_ELF) return;
  if (Result<bool> read = collector->collect(inner.get(), SHT_SYMTAB, image.size()); !read)
    log::debug(".gnu_debugdata: {}", read.error().message());
}

}  // namespace

Result<FunctionSizes> read_function_sizes(Elf* elf, std::uint64_t file_size, const std::set<std::string_view>& wanted,
                                          const std::function<bool(std::uint64_t)>& is_code) {
  Collector collector(wanted, is_code);
  const Result<bool> dynamic = collector.collect(elf, SHT_DYNSYM, file_size);
  if (!dynamic) return dynamic.error();
  const Result<bool> full = collector.collect(elf, SHT_SYMTAB, file_size);
  if (!full) return full.error();
  if (!*full) collect_packed(elf, file_size, &collector);
  return collector.take();
}

}  // namespace tracer::elf
