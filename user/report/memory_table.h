// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "heap/snapshot.h"
#include "report/site_text.h"
#include "report/site_view.h"
#include "report/table_text.h"

namespace tracer::report {

/// The part of the table about memory that no allocator hands out: --events. Nothing where it was not asked for.
class MemoryTable {
 public:
  /// All outlive it.
  MemoryTable(SiteView& view, SiteText& sites) : view_(view), sites_(sites) {}

  /// The stacks that have mapped or touched most, of each process.
  void add_stacks(TableText& text, const heap::Snapshot& snapshot, std::size_t most_frames) const;
  /// How live, mapped and resident bytes differ, in rows of the totals.
  void add_totals(TableText& text, const heap::Snapshot& snapshot) const;

 private:
  void add_process(TableText& text, const heap::ProcessSnapshot& process, Rank rank, std::size_t most_frames) const;

  SiteView& view_;
  SiteText& sites_;
};

}  // namespace tracer::report
