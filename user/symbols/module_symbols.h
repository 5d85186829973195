// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "symbols/debuginfod.h"
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

  bool has_lines() const { return lines_ != nullptr; }
  /// Asks for the debug file of a module that has none; true when there is one now. May take seconds.
  bool download(Debuginfod& debuginfod, const ModuleFile& module);
  /// Why an address of it has no name.
  std::string lack() const;

  /// Frames of an address as in the tables, not demangled, innermost first; empty when nothing is known. The last one,
  /// the function that is really there, has the name its caller would use; it may lack one. The names live as long as
  /// this object.
  std::vector<DwarfFrame> frames_at(std::uint64_t address);

 private:
  ModuleSymbols() = default;
  void open_module_file(ModuleFile* module);
  void open_debug_file(const ModuleFile& module);
  void use_debug_file(const ModuleFile& module, ElfFile file);
  void open_debug_data();
  void fill_symbols();

  // Users below what they use: they point into it.
  std::unique_ptr<ElfFile> module_;
  std::unique_ptr<ElfFile> debug_file_;
  std::unique_ptr<ElfFile> debug_data_;
  SymbolTable symbols_;
  std::unique_ptr<DwarfLines> lines_;
  std::string unreadable_;     // why the file could not be read; empty: it could
  std::string no_debug_file_;  // why there is none; empty: there is, or it is not needed
};

}  // namespace tracer::symbols
