// SPDX-License-Identifier: Apache-2.0
#include "report/trend_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/units.h"

namespace tracer::report {
namespace {

constexpr double kUnsureFrom = 2;  // an error of more than twice the growth says nothing but that
constexpr double kWorthTelling = 0.95;

/// "12.3 KiB/s"; a slow one per minute or hour, so that it is no nought.
std::string rate_of(double bytes_per_s) {
  struct Unit {
    double seconds;
    const char* name;
  };
  constexpr Unit kUnits[] = {{1, "s"}, {60, "min"}, {3600, "h"}};
  for (const Unit& unit : kUnits) {
    const double bytes = bytes_per_s * unit.seconds;
    if (bytes >= 1 || unit.seconds == 3600)
      return fmt::format("{}/{}", format_bytes(static_cast<std::uint64_t>(std::llround(bytes))), unit.name);
  }
  return {};
}

std::string growth_of(const heap::Trend& trend) {
  const double share = trend.growth_error / std::max(trend.growth_bytes_per_s, 1e-9);
  const std::string error =
      share > kUnsureFrom ? std::string(", roughly") : fmt::format(" ±{:.{}f}%", 100 * share, share < 0.0995 ? 1 : 0);
  return rate_of(trend.growth_bytes_per_s) + error;
}

std::string course_text(const heap::Trend& trend) {
  switch (trend.course) {
    case heap::Course::kGrowing:
      return "growing " + growth_of(trend);
    case heap::Course::kSlowing:
      return "growing " + growth_of(trend) + ", ever more slowly";
    case heap::Course::kRecycled:
      return "growing " + growth_of(trend) + ", yet old blocks are freed";
    case heap::Course::kUnclear:
      return "no clear trend";
    case heap::Course::kStopped:
      return trend.quiet_ns == trend.observed_ns ? "not growing"
                                                 : "stopped growing " + format_duration(trend.quiet_ns) + " ago";
    case heap::Course::kLevel:
      return "goes up and down, not growing";
    case heap::Course::kUnknown:
      break;
  }
  return {};
}

std::string freed_text(const heap::SiteTotals& site, bool estimated) {
  const double share =
      static_cast<double>(site.free_objects) / static_cast<double>(std::max<std::uint64_t>(site.alloc_objects, 1));
  // Never "100%" of what is not all.
  const double percent = site.free_objects < site.alloc_objects ? std::min(100 * share, 99.99) : 100;
  std::string text = fmt::format("freed {}{:.{}f}%", estimated ? "~" : "", percent, percent > 99 ? 2 : 0);
  if (site.trend.freed_after_ns >= 1'000'000)
    text += fmt::format(" after {} on average", format_duration(site.trend.freed_after_ns));
  return text;
}

}  // namespace

std::vector<std::string> verdict_parts(const heap::SiteTotals& site, bool estimated) {
  std::string course = course_text(site.trend);
  if (course.empty()) return {};
  std::vector<std::string> parts{std::move(course), freed_text(site, estimated)};
  const double of_peak =
      static_cast<double>(site.live_bytes()) / static_cast<double>(std::max<std::uint64_t>(site.trend.peak_bytes, 1));
  if (of_peak < kWorthTelling)
    parts.push_back(fmt::format("{:.0f}% of its peak of {}", 100 * of_peak, format_bytes(site.trend.peak_bytes)));
  return parts;
}

}  // namespace tracer::report
