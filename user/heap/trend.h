// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace tracer::heap {

/// Where the live bytes of a site are heading. Those that rise come first, the most likely leak before the others.
enum class Course : std::uint8_t {
  kGrowing,   ///< what stays rises on and on
  kSlowing,   ///< it still rises, yet more slowly than before: a cache that fills
  kRecycled,  ///< it rises, yet blocks are freed at ages like those of the live ones: a cache that replaces entries
  kUnclear,   ///< there is a trend, too small beside the ups and downs, or of too few steps
  kUnknown,   ///< observed too briefly, or not at all
  kStopped,   ///< it rose, and has not for long: warm-up, a cache that is full
  kLevel,     ///< ups and downs around a level
};
inline constexpr std::size_t kCourseCount = 7;

/// `snake_case` name used in every report.
const char* course_name(Course course);
constexpr bool is_rising(Course course) { return course <= Course::kRecycled; }

/// What the history of a site says.
struct Trend {
  Course course = Course::kUnknown;
  double growth_bytes_per_s = 0;  ///< over the later half of the time observed; may be negative
  double growth_error = 0;        ///< of it: one standard error
  std::uint64_t observed_ns = 0;
  std::uint64_t quiet_ns = 0;             ///< since what stays rose last
  std::uint64_t peak_bytes = 0;           ///< most live bytes that were seen in a sample
  std::uint64_t freed_after_ns = 0;       ///< mean age at which its blocks were freed; 0: none was
  std::array<std::uint64_t, 3> stayed{};  ///< no more of the live bytes than this are older than 1/4, 2/4, 3/4 of the
                                          ///< time observed
};

/// Live bytes at moments in rising order; both spans are of one length.
struct Series {
  std::span<const std::uint64_t> t_ns;
  std::span<const std::uint64_t> bytes;
};

/// A rate with an interval around it.
struct Slope {
  double bytes_per_s = 0;
  double low = 0;
  double high = 0;
};

/// The median of the slopes between any two points (Theil 1950, Sen 1968): no outlier moves it. The interval is Sen's,
/// by the variance of Kendall's S without ties: `z` standard errors wide on each side. Of one point: zeros.
Slope median_slope(const Series& series, double z);

/// Judges a series; `peak_bytes` is the most that it shows. Knows nothing of frees: see with_frees().
///
/// *What stays* at a moment is the least that is live from then on. It rises evenly under a leak, at the beginning
/// during a warm-up, and only in the last tooth of a saw. docs/leaks.md explains the rules.
Trend trend_of(const Series& series);

/// A trend with what is known of frees put in. `freed_share`: of all blocks that were allocated, 0 to 1; times are mean
/// ages: of freed blocks when they were freed, of live ones now.
Trend with_frees(Trend trend, double freed_share, std::uint64_t freed_after_ns, std::uint64_t live_age_ns);

}  // namespace tracer::heap
