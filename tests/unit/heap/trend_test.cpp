// SPDX-License-Identifier: Apache-2.0
#include "heap/trend.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <vector>

namespace tracer::heap {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

/// A minute, with a sample every second and a half.
class TrendTest : public ::testing::Test {
 protected:
  static constexpr std::size_t kSamples = 41;

  Trend trend(const std::function<double(double seconds)>& bytes_at) {
    t_ns_.clear();
    bytes_.clear();
    for (std::size_t i = 0; i < kSamples; ++i) {
      const double seconds = 1.5 * static_cast<double>(i);
      t_ns_.push_back(static_cast<std::uint64_t>(seconds * 1e9));
      bytes_.push_back(static_cast<std::uint64_t>(std::max(bytes_at(seconds), 0.0)));
    }
    return trend_of({t_ns_, bytes_});
  }
  const char* course(const std::function<double(double seconds)>& bytes_at) {
    return course_name(trend(bytes_at).course);
  }
  double noise(double amplitude) { return std::uniform_real_distribution<double>(0, amplitude)(random_); }

  std::vector<std::uint64_t> t_ns_;
  std::vector<std::uint64_t> bytes_;
  std::mt19937 random_{4};
};

/// The phase of something that happens every `period` seconds, from 0 to 1.
double phase(double seconds, double period) { return std::fmod(seconds, period) / period; }

TEST_F(TrendTest, MeasuresASteadyLeakExactly) {
  const Trend leak = trend([](double t) { return 5000 + 1000 * t; });
  EXPECT_EQ(leak.course, Course::kGrowing);
  EXPECT_DOUBLE_EQ(leak.growth_bytes_per_s, 1000);
  EXPECT_DOUBLE_EQ(leak.growth_error, 0);
  EXPECT_EQ(leak.observed_ns, 60 * kSecond);
  EXPECT_EQ(leak.quiet_ns, 0U);
  EXPECT_EQ(leak.peak_bytes, 65'000U);
  // Of what is live now, three quarters were there when three quarters of the time had passed.
  EXPECT_EQ(leak.stayed[0], 50'000U);
  EXPECT_EQ(leak.stayed[1], 35'000U);
  EXPECT_EQ(leak.stayed[2], 20'000U);
}

TEST_F(TrendTest, FindsALeakBelowUpsAndDownsAndSaysHowWellItIsKnown) {
  const Trend leak = trend([this](double t) { return 1000 * t + noise(8000); });
  EXPECT_EQ(leak.course, Course::kGrowing);
  EXPECT_GT(leak.growth_error, 10);
  EXPECT_NEAR(leak.growth_bytes_per_s, 1000, 3 * leak.growth_error);
}

TEST_F(TrendTest, SaysOneStandardErrorOfTheGrowth) {
  int within_one = 0;
  constexpr int kRuns = 400;
  for (int i = 0; i < kRuns; ++i) {
    const Trend leak = trend([this](double t) { return 1000 * t + noise(8000); });
    within_one += std::abs(leak.growth_bytes_per_s - 1000) <= leak.growth_error ? 1 : 0;
  }
  EXPECT_NEAR(within_one, 0.68 * kRuns, 0.08 * kRuns);
}

TEST_F(TrendTest, FindsALeakThatComesInSteps) {
  EXPECT_STREQ(course([](double t) { return 64 * std::floor(t / 8); }), "growing");
}

TEST_F(TrendTest, FindsALeakThatBeganLate) {
  EXPECT_STREQ(course([](double t) { return t < 40 ? 0 : 1000 * (t - 40); }), "growing");
}

TEST_F(TrendTest, SaysWhenAWarmUpStopped) {
  const Trend warm_up = trend([](double t) { return 1000 * std::min(t, 18.0); });
  EXPECT_EQ(warm_up.course, Course::kStopped);
  EXPECT_EQ(warm_up.quiet_ns, 42 * kSecond);
  EXPECT_DOUBLE_EQ(warm_up.growth_bytes_per_s, 0);
}

TEST_F(TrendTest, SaysThatAFullCacheHasStopped) {
  EXPECT_STREQ(course([this](double t) { return 1000 * std::min(t, 25.0) - noise(300); }), "stopped");
  // Still filled in the later half of the time.
  EXPECT_STREQ(course([](double t) { return 1000 * std::min(t, 48.0); }), "stopped");
}

TEST_F(TrendTest, SaysThatACacheFillsMoreAndMoreSlowly) {
  EXPECT_STREQ(course([](double t) { return 1e6 * (1 - std::exp(-t / 15)); }), "slowing");
  EXPECT_STREQ(course([this](double t) { return 1e6 * (1 - std::exp(-t / 15)) + noise(2000); }), "slowing");
}

TEST_F(TrendTest, SuspectsALeakBelowAWarmUpOnlyOnceItMatters) {
  EXPECT_STREQ(course([](double t) { return 10'000 * std::min(t, 18.0) + 1000 * t; }), "slowing");
  EXPECT_STREQ(course([](double t) { return 10'000 * std::min(t, 5.0) + 1000 * t; }), "growing");
}

TEST_F(TrendTest, TakesNoSawForALeak) {
  for (const double period : {4.0, 11.0, 17.0, 29.0, 47.0}) {
    const std::string found = course([period](double t) { return 1e6 * phase(t + 7, period); });
    EXPECT_TRUE(found == "level" || found == "unclear" || found == "stopped") << period << ": " << found;
  }
}

TEST_F(TrendTest, TakesNoPeriodicBatchForALeak) {
  for (const double period : {3.0, 10.0, 20.0}) {
    const std::string found = course([period](double t) { return phase(t, period) < 0.3 ? 1e6 : 1000; });
    EXPECT_TRUE(found == "level" || found == "stopped") << period << ": " << found;
  }
}

TEST_F(TrendTest, TakesNoBurstForALeak) {
  EXPECT_STREQ(course([](double t) { return t > 30 && t < 33 ? 1e6 : 1000; }), "level");
  EXPECT_STREQ(course([](double t) { return t > 57 ? 1e6 : 1000; }), "unclear");
  EXPECT_STREQ(course([](double t) { return t > 20 ? 1e6 : 1000; }), "stopped");
}

TEST_F(TrendTest, TakesHardlyEverUpsAndDownsForALeak) {
  int growing = 0;
  for (int i = 0; i < 2000; ++i) {
    const Course found = trend([this](double) { return 1e6 + noise(1e6); }).course;
    growing += found == Course::kGrowing || found == Course::kSlowing ? 1 : 0;
  }
  EXPECT_LE(growing, 2);
}

TEST_F(TrendTest, DoesNotJudgeWhatItHasHardlySeen) {
  std::vector<std::uint64_t> t_ns;
  std::vector<std::uint64_t> bytes;
  EXPECT_EQ(trend_of({t_ns, bytes}).course, Course::kUnknown);
  for (std::uint64_t i = 0; i < 15; ++i) {
    t_ns.push_back(i * kSecond);
    bytes.push_back(i * 1000);
    EXPECT_EQ(trend_of({t_ns, bytes}).course, Course::kUnknown) << i;
    EXPECT_EQ(trend_of({t_ns, bytes}).peak_bytes, i * 1000);
  }
}

TEST_F(TrendTest, TellsACacheThatReplacesItsEntriesByTheAgeOfWhatIsFreed) {
  const Trend growing = trend([](double t) { return 1000 * t; });
  EXPECT_EQ(with_frees(growing, 0.3, 20 * kSecond, 25 * kSecond).course, Course::kRecycled);
  // Blocks that are freed soon say nothing about those that are not.
  EXPECT_EQ(with_frees(growing, 0.99, kSecond / 10, 25 * kSecond).course, Course::kGrowing);
  // Nor does a single one that was freed late.
  EXPECT_EQ(with_frees(growing, 0.01, 20 * kSecond, 25 * kSecond).course, Course::kGrowing);
}

TEST_F(TrendTest, TakesTheMedianOfSlopes) {
  const std::vector<std::uint64_t> t_ns{0, kSecond, 2 * kSecond, 3 * kSecond};
  const std::vector<std::uint64_t> bytes{0, 10, 1000, 30};
  // Between 0 and 3: 10, 500, 10; from 1: 990, 10; from 2: -970.
  EXPECT_DOUBLE_EQ(median_slope({t_ns, bytes}, 0).bytes_per_s, 10);
  EXPECT_DOUBLE_EQ(median_slope({t_ns, bytes}, 3).low, -970);
  EXPECT_DOUBLE_EQ(median_slope({t_ns, bytes}, 3).high, 990);
}

}  // namespace
}  // namespace tracer::heap
