// SPDX-License-Identifier: Apache-2.0
#include "symbols/dwarf_scopes.h"

#include <dwarf.h>

#include <functional>

namespace tracer::symbols {
namespace {

constexpr int kMaxDepth = 200;  // deeper than compilers nest; the walks below recurse that far

/// Walks the children of DIEs in the order of the file.
///
/// Each step must lead further into the unit. In a damaged file a sibling reference may point back into the DIE's own
/// children; without this rule a walk would take time exponential in the depth.
class DieWalk {
 public:
  /// Calls `visitor` for each child until it returns true; tells whether it did. Visitors may walk deeper with this.
  template <typename Visitor>
  bool children_of(Dwarf_Die* die, Visitor visitor) {
    if (depth_ == kMaxDepth) return false;
    ++depth_;
    bool stopped = false;
    Dwarf_Die child;
    int status = dwarf_child(die, &child);
    while (status == 0 && !stopped && advance(child.addr)) {
      stopped = visitor(&child);
      if (!stopped) status = dwarf_siblingof(&child, &child);
    }
    --depth_;
    return stopped;
  }

 private:
  bool advance(const void* position) {
    if (!std::less<>()(last_, position)) return false;
    last_ = position;
    return true;
  }

  const void* last_ = nullptr;
  int depth_ = 0;
};

bool may_contain_functions(int tag) {
  switch (tag) {
    case DW_TAG_namespace:
    case DW_TAG_module:
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_enumeration_type:  // Rust puts methods of enumerations there
    case DW_TAG_variant_part:
    case DW_TAG_subprogram:
    case DW_TAG_lexical_block:
      return true;
    default:
      return false;
  }
}

bool is_block(int tag) { return tag == DW_TAG_lexical_block || tag == DW_TAG_try_block || tag == DW_TAG_catch_block; }

void collect(Dwarf_Die* parent, DieWalk* walk, IntervalIndex<Dwarf_Die>* functions) {
  walk->children_of(parent, [&](Dwarf_Die* child) {
    const int tag = dwarf_tag(child);
    if (tag == DW_TAG_subprogram) add_ranges(child, *child, functions);
    if (may_contain_functions(tag)) collect(child, walk, functions);
    return false;
  });
}

// Blocks without code of their own may still hold inlined calls: compilers leave the ranges of some away.
bool has_no_ranges(Dwarf_Die* die) {
  Dwarf_Addr base = 0;
  Dwarf_Addr begin = 0;
  Dwarf_Addr end = 0;
  return dwarf_ranges(die, 0, &base, &begin, &end) <= 0;
}

bool descend(Dwarf_Die* scope, std::uint64_t address, DieWalk* walk, std::vector<Dwarf_Die>* calls) {
  return walk->children_of(scope, [&](Dwarf_Die* child) {
    const int tag = dwarf_tag(child);
    const bool call = tag == DW_TAG_inlined_subroutine;
    if (!call && !is_block(tag)) return false;
    const bool covers = dwarf_haspc(child, address) > 0;
    if (call && covers) calls->push_back(*child);
    const bool worth_a_look = covers || (!call && has_no_ranges(child));
    return (worth_a_look && descend(child, address, walk, calls)) || (call && covers);
  });
}

std::string_view string_of(Dwarf_Die* die, unsigned int name) {
  Dwarf_Attribute attribute;
  if (dwarf_attr_integrate(die, name, &attribute) == nullptr) return {};
  const char* text = dwarf_formstring(&attribute);
  return text == nullptr ? std::string_view() : std::string_view(text);
}

}  // namespace

void collect_functions(Dwarf_Die* unit, IntervalIndex<Dwarf_Die>* functions) {
  DieWalk walk;
  collect(unit, &walk, functions);
  functions->seal();
}

std::vector<Dwarf_Die> inlined_calls_at(Dwarf_Die* function, std::uint64_t address) {
  std::vector<Dwarf_Die> calls;
  DieWalk walk;
  descend(function, address, &walk, &calls);
  return calls;
}

std::string_view function_name(Dwarf_Die* die) {
  for (unsigned int name : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name, DW_AT_name}) {
    const std::string_view text = string_of(die, name);
    if (!text.empty()) return text;
  }
  return {};
}

}  // namespace tracer::symbols
