// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "heap/snapshot.h"

namespace tracer::report {

/// What a profile can count of a stack; names, units and order are those of Go's heap profiles.
enum class Metric { kAllocObjects, kAllocSpace, kInuseObjects, kInuseSpace };

struct MetricInfo {
  Metric metric;
  const char* name;
  const char* unit;
};
inline constexpr std::array<MetricInfo, 4> kMetrics{{
    {Metric::kAllocObjects, "alloc_objects", "count"},
    {Metric::kAllocSpace, "alloc_space", "bytes"},
    {Metric::kInuseObjects, "inuse_objects", "count"},
    {Metric::kInuseSpace, "inuse_space", "bytes"},
}};

inline std::optional<Metric> metric_named(std::string_view name) {
  for (const MetricInfo& info : kMetrics) {
    if (name == info.name) return info.metric;
  }
  return std::nullopt;
}

inline std::uint64_t value_of(const heap::SiteTotals& site, Metric metric) {
  switch (metric) {
    case Metric::kAllocObjects:
      return site.alloc_objects;
    case Metric::kAllocSpace:
      return site.alloc_bytes;
    case Metric::kInuseObjects:
      return site.live_objects();
    case Metric::kInuseSpace:
      break;
  }
  return site.live_bytes();
}

}  // namespace tracer::report
