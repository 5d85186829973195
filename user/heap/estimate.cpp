// SPDX-License-Identifier: Apache-2.0
#include "heap/estimate.h"

#include <algorithm>
#include <cmath>

namespace tracer::heap {
namespace {

std::uint64_t less(std::uint64_t a, std::uint64_t b) { return a > b ? a - b : 0; }

}  // namespace

std::uint64_t whole_objects(std::uint64_t units) { return (units + kUnitsPerObject / 2) / kUnitsPerObject; }

void set_objects(SiteTotals& site, const ObjectUnits& units) {
  const std::uint64_t live_units = less(units.alloc, units.free);
  const std::uint64_t live = whole_objects(live_units);
  const std::uint64_t leaked = whole_objects(less(live_units, units.young + units.unverified));
  site.alloc_objects = std::max(whole_objects(units.alloc), live);
  site.free_objects = site.alloc_objects - live;
  site.unverified_objects = std::min(whole_objects(units.unverified), less(live, leaked));
  site.young_objects = less(live, leaked + site.unverified_objects);
}

std::uint64_t standard_error(double variance) {
  return variance > 0 ? static_cast<std::uint64_t>(std::llround(std::sqrt(variance))) : 0;
}

double relative_error(double variance, std::uint64_t bytes) {
  return variance > 0 && bytes != 0 ? std::sqrt(variance) / static_cast<double>(bytes) : 0;
}

double leak_variance(const SiteTotals& site) {
  const std::uint64_t live = site.live_bytes();
  if (live == 0) return 0;
  return site.live_variance * static_cast<double>(std::min(site.leak_bytes(), live)) / static_cast<double>(live);
}

}  // namespace tracer::heap
