// SPDX-License-Identifier: Apache-2.0
#include "report/totals.h"

namespace tracer::report {

heap::HeapCounters sum_of(const std::vector<heap::ProcessSnapshot>& processes) {
  heap::HeapCounters sum;
  for (const heap::ProcessSnapshot& process : processes) sum += process;
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
