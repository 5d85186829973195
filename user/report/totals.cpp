// SPDX-License-Identifier: Apache-2.0
#include "report/totals.h"

namespace tracer::report {

heap::ProcessSnapshot sum_of(const std::vector<heap::ProcessSnapshot>& processes) {
  heap::ProcessSnapshot sum;
  for (const heap::ProcessSnapshot& process : processes) {
    sum.live_bytes += process.live_bytes;
    sum.live_objects += process.live_objects;
    sum.unverified_bytes += process.unverified_bytes;
    sum.unverified_objects += process.unverified_objects;
    sum.alloc_bytes_total += process.alloc_bytes_total;
    sum.alloc_objects_total += process.alloc_objects_total;
    sum.free_bytes_total += process.free_bytes_total;
    sum.free_objects_total += process.free_objects_total;
    sum.free_unknown_total += process.free_unknown_total;
    sum.failed_objects_total += process.failed_objects_total;
    sum.peak_bytes += process.peak_bytes;
    for (std::size_t i = 0; i < heap::kStackEndCount; ++i) sum.stack_ends[i] += process.stack_ends[i];
  }
  return sum;
}

LeakTotals leak_totals(const std::vector<heap::ProcessSnapshot>& processes) {
  LeakTotals totals;
  for (const heap::ProcessSnapshot& process : processes) {
    for (const heap::SiteTotals& site : process.sites) {
      if (site.leak_objects() == 0) continue;
      ++totals.sites;
      totals.bytes += site.leak_bytes();
      totals.objects += site.leak_objects();
    }
  }
  return totals;
}

}  // namespace tracer::report
