// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "heap/grouping.h"
#include "report/report.h"
#include "report/site_text.h"
#include "report/site_view.h"
#include "report/table_text.h"

namespace tracer::report {

/// The part of the table that is about the whole machine: its groups, the stacks of the first ones, its totals.
///
///        live     growth/s  allocs/s         rss  process
///    17.4 MiB   +120.0 KiB     9,012    30.0 MiB  4242 server [3f2a9c1b2d4e]
///
/// `context`, `view` and `sites` outlive it. Remembers the last snapshot for the rates.
class MachineTable {
 public:
  MachineTable(const Context& context, SiteView& view, SiteText& sites, heap::GroupBy by)
      : context_(context), view_(view), sites_(sites), by_(by), rates_(by) {}

  /// A periodic snapshot, with rates since the one before; `columns` as in TableStyle.
  void add_snapshot(TableText& text, const heap::Snapshot& snapshot, unsigned columns);
  /// The last one: rates are means of the whole run, stacks those of blocks older than `age_limit` says.
  void add_last(TableText& text, const heap::Snapshot& snapshot, const Summary& summary, const std::string& age_limit,
                unsigned columns);

 private:
  void add_groups(TableText& text, const std::vector<heap::Group>& groups, unsigned columns) const;
  void add_stacks(TableText& text, const std::vector<heap::Group>& groups, Rank rank, std::size_t most_frames);
  std::string heading(const heap::Snapshot& snapshot, std::size_t groups) const;
  std::size_t shown_of(std::size_t groups) const;
  std::string row_of(const heap::Group& group, unsigned columns) const;
  std::string name_of(const heap::Group& group) const;

  const Context& context_;
  SiteView& view_;
  SiteText& sites_;
  heap::GroupBy by_;
  heap::RateTracker rates_;
};

/// "pid 4242 server [3f2a9c1b2d4e]", with the pid of its own namespace where it has one.
std::string describe(const heap::ProcessSnapshot& process);

}  // namespace tracer::report
