// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "heap/snapshot.h"

namespace tracer::report {

/// The counters of all processes added up; peaks too, although they were not reached at one time.
heap::HeapCounters sum_of(const std::vector<heap::ProcessSnapshot>& processes);

/// What is still allocated and older than --older. Filters and -T do not apply.
struct LeakTotals {
  std::uint64_t sites = 0;
  std::uint64_t bytes = 0;
  std::uint64_t objects = 0;
};
LeakTotals leak_totals(const std::vector<heap::ProcessSnapshot>& processes);

}  // namespace tracer::report
