// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "symbols/dwarf_lines.h"
#include "symbols/elf_file.h"
#include "symbols/symbol_table.h"
#include "symbols/symbolizer.h"

namespace tracer::symbols {

/// Everything open about one module: the file, its debug file, their symbols and DWARF.
class ModuleSymbols {
 public:
  /// Never fails: what cannot be read is left out, and the reason goes to the debug log. The descriptor is taken over.
  static std::unique_ptr<ModuleSymbols> open(ModuleFile* module);

  /// Frames of an address as in the tables, not demangled, innermost first; empty when nothing is known. The last one,
  /// the function that is really there, has the name its caller would use; it may lack one. The names live as long as
  /// this object.
  std::vector<DwarfFrame> frames_at(std::uint64_t address);

 private:
  ModuleSymbols() = default;
  void open_module_file(ModuleFile* module);
  void open_debug_file(const ModuleFile& module);
  void open_debug_data();
  void fill_symbols();

  // Users below what they use: they point into it.
  std::unique_ptr<ElfFile> module_;
  std::unique_ptr<ElfFile> debug_file_;
  std::unique_ptr<ElfFile> debug_data_;
  SymbolTable symbols_;
  std::unique_ptr<DwarfLines> lines_;
};

}  // namespace tracer::symbols
