// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "symbols/elf_file.h"
#include "symbols/interval_index.h"

namespace tracer::symbols {

/// One frame as DWARF tells it. The name lives as long as the DwarfLines that made it.
struct DwarfFrame {
  std::string_view function;  ///< linkage name if there is one, else the plain name; may be empty
  std::string file;           ///< joined with the directory of the compilation, without "." and ".."
  std::uint32_t line = 0;
};

/// File, line and inlined functions of the addresses of one module.
///
/// Keeps its own index from addresses to units, since not every compiler writes .debug_aranges; it is made by reading
/// the unit headers. The functions of a unit are indexed when an address in it is first asked for.
///
/// The work per question is limited by the size of the unit, whatever the DWARF says.
class DwarfLines {
 public:
  /// Null when the file has no usable DWARF. `elf` must outlive the object.
  /// `find_shared` is asked for the file with what several debug files share (dwz, .gnu_debugaltlink), by its name and
  /// its build id; without it what stands there is missing.
  using FindShared = std::function<Result<ElfFile>(const std::string& name, const std::string& build_id)>;
  static std::unique_ptr<DwarfLines> open(Elf* elf, const FindShared& find_shared);

  /// Frames of an address, innermost first: the first has the line of the line table, any other the line where it
  /// calls the one before it. Empty when nothing is known.
  std::vector<DwarfFrame> frames_at(std::uint64_t address);

 private:
  struct End {
    void operator()(Dwarf* dwarf) const { dwarf_end(dwarf); }
  };
  struct Unit {
    Dwarf_Die lines;   // the unit with the line table
    Dwarf_Die scopes;  // where functions are: the same, or the unit of a .dwo file
    bool indexed = false;
    IntervalIndex<Dwarf_Die> functions;
  };

  explicit DwarfLines(Dwarf* dwarf) : dwarf_(dwarf) {}
  void open_shared(const FindShared& find_shared);
  void read_units();
  void add_unit(const Dwarf_Die& die);
  static void index_functions(Unit* unit);
  static std::vector<DwarfFrame> frames_in(Unit* unit, std::uint64_t address);

  // Users below what they use.
  std::optional<ElfFile> shared_file_;
  std::unique_ptr<Dwarf, End> shared_;
  std::unique_ptr<Dwarf, End> dwarf_;
  std::vector<std::unique_ptr<Unit>> units_;
  IntervalIndex<Unit*> unit_index_;
};

}  // namespace tracer::symbols
