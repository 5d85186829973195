// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "heap/snapshot.h"
#include "report/site_view.h"

namespace tracer::report {

/// The counters of all processes added up; peaks too, although they were not reached at one time.
heap::HeapCounters sum_of(const std::vector<heap::ProcessSnapshot>& processes);

/// Stacks and what is still allocated there and older than --older.
struct LeakSum {
  std::uint64_t sites = 0;
  std::uint64_t bytes = 0;
  std::uint64_t objects = 0;
};

/// Filters and -T do not apply; suppressions part the leaks that are reported from the others.
struct LeakTotals : LeakSum {
  LeakSum suppressed;
};
LeakTotals leak_totals(const std::vector<heap::ProcessSnapshot>& processes, SiteView& view);

}  // namespace tracer::report
