// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "symbols/interval_index.h"

namespace tracer::symbols {

/// Adds the address ranges of a DIE to an index. Ranges at 0 are what linkers make of functions they dropped.
/// Tells whether there were any.
template <typename Value>
bool add_ranges(Dwarf_Die* die, const Value& value, IntervalIndex<Value>* index) {
  bool any = false;
  Dwarf_Addr base = 0;
  Dwarf_Addr begin = 0;
  Dwarf_Addr end = 0;
  for (std::ptrdiff_t next = 0; (next = dwarf_ranges(die, next, &base, &begin, &end)) > 0;) {
    if (begin == 0) continue;
    index->add(begin, end, value);
    any = true;
  }
  return any;
}

/// All functions with code of a unit, however deep they are nested.
void collect_functions(Dwarf_Die* unit, IntervalIndex<Dwarf_Die>* functions);

/// The inlined calls of a function that contain an address, outermost first.
std::vector<Dwarf_Die> inlined_calls_at(Dwarf_Die* function, std::uint64_t address);

/// The linkage name of a function or inlined call, else its plain name; looks through abstract origins and
/// specifications. Empty when it has none.
std::string_view function_name(Dwarf_Die* die);

}  // namespace tracer::symbols
