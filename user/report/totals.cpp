// SPDX-License-Identifier: Apache-2.0
#include "report/totals.h"

namespace tracer::report {

heap::HeapCounters sum_of(const std::vector<heap::ProcessSnapshot>& processes) {
  heap::HeapCounters sum;
  for (const heap::ProcessSnapshot& process : processes) sum += process;
  return sum;
}

LeakTotals leak_totals(const std::vector<heap::ProcessSnapshot>& processes, SiteView& view) {
  LeakTotals totals;
  for (const heap::ProcessSnapshot& process : processes) {
    for (const heap::SiteTotals& site : process.sites) {
      if (site.leak_objects() == 0) continue;
      LeakSum& sum = view.is_suppressed(site.stack_id) ? totals.suppressed : totals;
      ++sum.sites;
      sum.bytes += site.leak_bytes();
      sum.objects += site.leak_objects();
    }
  }
  return totals;
}

}  // namespace tracer::report
