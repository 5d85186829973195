// SPDX-License-Identifier: Apache-2.0
#include "heap/trend.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tracer::heap {
namespace {

constexpr double kNsPerSecond = 1e9;
constexpr std::size_t kFewestSamples = 16;
// Of some thousands of sites without a trend one looks as if it had one.
constexpr double kSure = 3.5;
constexpr double kRatherSure = 2;
constexpr std::size_t kFewestRises = 3;
// How far what stays must have risen beyond the ups and downs above it.
constexpr double kAboveNoise = 1.5;
constexpr double kMuchSlower = 0.75;
constexpr double kSmallPart = 0.25;
// So unlikely is it that something which still grows has been quiet for so long by chance.
constexpr double kNoChance = 0.01;
constexpr double kRecycledShare = 0.1;
constexpr double kRecycledAge = 0.5;

double seconds(std::uint64_t ns) { return static_cast<double>(ns) / kNsPerSecond; }

double difference(std::uint64_t later, std::uint64_t earlier) {
  return static_cast<double>(static_cast<std::int64_t>(later - earlier));
}

Series part(const Series& series, std::size_t first, std::size_t count) {
  return {series.t_ns.subspan(first, count), series.bytes.subspan(first, count)};
}

/// Slopes between any two points, in rising order; none where nothing ever changed.
std::vector<double> slopes_of(const Series& series) {
  std::vector<double> slopes;
  const std::size_t count = series.t_ns.size();
  if (std::ranges::all_of(series.bytes, [&](std::uint64_t bytes) { return bytes == series.bytes.front(); })) return {};
  slopes.reserve(count * count / 2);
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = i + 1; j < count; ++j) {
      if (series.t_ns[j] <= series.t_ns[i]) continue;
      slopes.push_back(difference(series.bytes[j], series.bytes[i]) / seconds(series.t_ns[j] - series.t_ns[i]));
    }
  }
  std::ranges::sort(slopes);
  return slopes;
}

double at_rank(const std::vector<double>& sorted, double rank) {
  const double last = static_cast<double>(sorted.size() - 1);
  return sorted[static_cast<std::size_t>(std::clamp(std::floor(rank), 0.0, last))];
}

Slope interval_of(const std::vector<double>& sorted, std::size_t points, double z) {
  if (sorted.empty()) return {};
  const auto n = static_cast<double>(points);
  const double half_width = z * std::sqrt(n * (n - 1) * (2 * n + 5) / 18) / 2;
  const double middle = static_cast<double>(sorted.size() - 1) / 2;
  return {(at_rank(sorted, middle) + at_rank(sorted, middle + 0.5)) / 2, at_rank(sorted, middle - half_width),
          at_rank(sorted, middle + half_width + 0.5)};
}

/// At each moment the least that is live from then on.
std::vector<std::uint64_t> what_stays(std::span<const std::uint64_t> bytes) {
  std::vector<std::uint64_t> stays(bytes.begin(), bytes.end());
  for (std::size_t i = stays.size() - 1; i > 0; --i) stays[i - 1] = std::min(stays[i - 1], stays[i]);
  return stays;
}

/// How what stays has risen.
struct Rises {
  std::size_t all = 0;
  std::size_t late = 0;  ///< in the later half
  double by = 0;         ///< bytes, in all
  double late_by = 0;
  std::uint64_t last_ns = 0;  ///< moment of the last one; without any that of the first sample
};

Rises rises_of(const Series& series, const std::vector<std::uint64_t>& stays, std::size_t half) {
  Rises rises;
  rises.by = difference(stays.back(), stays.front());
  rises.late_by = difference(stays.back(), stays[half]);
  rises.last_ns = series.t_ns.front();
  for (std::size_t i = 1; i < stays.size(); ++i) {
    if (stays[i] == stays[i - 1]) continue;
    ++rises.all;
    if (i > half) ++rises.late;
    rises.last_ns = series.t_ns[i];
  }
  return rises;
}

/// How far live bytes rose above what stayed.
double ups_and_downs(const Series& series, const std::vector<std::uint64_t>& stays, std::size_t first) {
  double most = 0;
  for (std::size_t i = first; i < stays.size(); ++i) most = std::max(most, difference(series.bytes[i], stays[i]));
  return most;
}

/// Whether so many rises would hardly have missed so long a time at the end by chance.
bool is_quiet(const Rises& rises, const Trend& trend) {
  if (rises.late == 0) return true;
  const double busy_share = 1 - seconds(trend.quiet_ns) / std::max(seconds(trend.observed_ns), 1e-9);
  return std::pow(busy_share, static_cast<double>(rises.all)) < kNoChance;
}

/// Whether the minima of six equal parts rise from each to the next: of 720 series without a trend one does so.
bool is_floor_rising(std::span<const std::uint64_t> bytes) {
  constexpr std::size_t kParts = 6;
  std::uint64_t before = 0;
  for (std::size_t i = 0; i < kParts; ++i) {
    const std::size_t first = i * bytes.size() / kParts;
    const auto of_part = bytes.subspan(first, (i + 1) * bytes.size() / kParts - first);
    const std::uint64_t least = *std::ranges::min_element(of_part);
    if (i > 0 && least <= before) return false;
    before = least;
  }
  return true;
}

/// Whether the later half brought a small part of what the earlier one did, or the last quarter grew more slowly than
/// the one before it and the chances that it only seems so are small.
bool is_slowing(const Series& late, const Rises& rises) {
  if (rises.late_by < kSmallPart * (rises.by - rises.late_by)) return true;
  const std::size_t half = late.t_ns.size() / 2;
  const Slope before = median_slope(part(late, 0, half + 1), kRatherSure);
  const Slope now = median_slope(part(late, half, late.t_ns.size() - half), kRatherSure);
  return now.high < before.low && now.bytes_per_s < kMuchSlower * before.bytes_per_s;
}

Course course_of(const Series& series, const Trend& trend, const Rises& rises, const std::vector<std::uint64_t>& stays,
                 const std::vector<double>& late_slopes) {
  const std::size_t half = series.t_ns.size() / 2;
  const Series late = part(series, half, series.t_ns.size() - half);
  const double noise = ups_and_downs(series, stays, half);
  if (is_quiet(rises, trend)) return noise > rises.by / 2 && noise > 0 ? Course::kLevel : Course::kStopped;
  const bool is_sure =
      interval_of(late_slopes, late.t_ns.size(), kSure).low > 0 && median_slope(series, kSure).low >= 0;
  if (!is_sure) return rises.late_by > kAboveNoise * noise ? Course::kUnclear : Course::kLevel;
  const bool is_clear = rises.late_by > kAboveNoise * noise || is_floor_rising(series.bytes);
  if (!is_clear || rises.late < kFewestRises) return Course::kUnclear;
  return is_slowing(late, rises) ? Course::kSlowing : Course::kGrowing;
}

/// What stays since the given moment, rounded to the next sample.
std::uint64_t stayed_since(const Series& series, const std::vector<std::uint64_t>& stays, std::uint64_t t_ns) {
  const auto sample = std::ranges::lower_bound(series.t_ns, t_ns);
  return stays[static_cast<std::size_t>(sample - series.t_ns.begin())];
}

}  // namespace

const char* course_name(Course course) {
  constexpr std::array<const char*, kCourseCount> kNames{"growing", "slowing", "recycled", "unclear",
                                                         "unknown", "stopped", "level"};
  return kNames.at(static_cast<std::size_t>(course));
}

Slope median_slope(const Series& series, double z) { return interval_of(slopes_of(series), series.t_ns.size(), z); }

Trend trend_of(const Series& series) {
  Trend trend;
  if (series.bytes.empty()) return trend;
  trend.observed_ns = series.t_ns.back() - series.t_ns.front();
  trend.peak_bytes = *std::ranges::max_element(series.bytes);
  const std::vector<std::uint64_t> stays = what_stays(series.bytes);
  const std::size_t half = series.t_ns.size() / 2;
  const Rises rises = rises_of(series, stays, half);
  trend.quiet_ns = series.t_ns.back() - rises.last_ns;
  for (std::size_t quarter = 1; quarter <= trend.stayed.size(); ++quarter) {
    const std::uint64_t moment = series.t_ns.back() - trend.observed_ns * quarter / 4;
    trend.stayed[quarter - 1] = stayed_since(series, stays, moment);
  }
  if (series.t_ns.size() < kFewestSamples) return trend;
  const Series late = part(series, half, series.t_ns.size() - half);
  const std::vector<double> late_slopes = slopes_of(late);
  const Slope slope = interval_of(late_slopes, late.t_ns.size(), 1);
  trend.growth_bytes_per_s = slope.bytes_per_s;
  trend.growth_error = (slope.high - slope.low) / 2;
  trend.course = course_of(series, trend, rises, stays, late_slopes);
  return trend;
}

Trend with_frees(Trend trend, double freed_share, std::uint64_t freed_after_ns, std::uint64_t live_age_ns) {
  trend.freed_after_ns = freed_after_ns;
  const bool rises = trend.course == Course::kGrowing || trend.course == Course::kSlowing;
  const bool is_recycled = freed_share >= kRecycledShare &&
                           static_cast<double>(freed_after_ns) >= kRecycledAge * static_cast<double>(live_age_ns);
  if (rises && is_recycled) trend.course = Course::kRecycled;
  return trend;
}

}  // namespace tracer::heap
