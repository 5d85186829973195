// SPDX-License-Identifier: Apache-2.0
#include "heap/estimate.h"

#include <gtest/gtest.h>

#include <random>

namespace tracer::heap {
namespace {

constexpr std::uint64_t kOne = kUnitsPerObject;

SiteTotals objects(const ObjectUnits& units) {
  SiteTotals site;
  set_objects(site, units);
  return site;
}

TEST(EstimateTest, WholeBlocksStayWhatTheyAre) {
  const SiteTotals site = objects({10 * kOne, 3 * kOne, 2 * kOne, kOne});
  EXPECT_EQ(site.alloc_objects, 10U);
  EXPECT_EQ(site.free_objects, 3U);
  EXPECT_EQ(site.young_objects, 2U);
  EXPECT_EQ(site.unverified_objects, 1U);
  EXPECT_EQ(site.leak_objects(), 4U);
}

TEST(EstimateTest, NoBlockThatIsLiveOrLeakedIsRoundedAway) {
  std::mt19937 random(1);
  // What a sampled block stands for is 1.58 blocks at least.
  std::uniform_int_distribution<std::uint64_t> weight(1619, 40 * kOne);
  std::uniform_int_distribution<int> kind(0, 3);
  for (int i = 0; i < 20'000; ++i) {
    ObjectUnits units;
    std::uint64_t leaked_units = 0;
    for (int block = 0; block < 6; ++block) {
      const std::uint64_t one = weight(random);
      units.alloc += one;
      switch (kind(random)) {
        case 0:
          units.free += one;
          break;
        case 1:
          units.young += one;
          break;
        case 2:
          units.unverified += one;
          break;
        default:
          leaked_units += one;
      }
    }
    const SiteTotals site = objects(units);
    EXPECT_EQ(site.live_objects() > 0, units.alloc > units.free);
    EXPECT_EQ(site.leak_objects() > 0, leaked_units > 0);
    EXPECT_EQ(site.live_objects(), whole_objects(units.alloc - units.free));
    EXPECT_NEAR(static_cast<double>(site.leak_objects()), static_cast<double>(leaked_units) / kOne, 1);
    EXPECT_NEAR(static_cast<double>(site.free_objects), static_cast<double>(units.free) / kOne, 1);
  }
}

TEST(EstimateTest, FreesThatAreReadTooEarlyDoNotMakeCountsNegative) {
  const SiteTotals site = objects({kOne, 2 * kOne, 5 * kOne, 7 * kOne});
  EXPECT_EQ(site.live_objects(), 0U);
  EXPECT_EQ(site.young_objects, 0U);
  EXPECT_EQ(site.unverified_objects, 0U);
}

TEST(EstimateTest, ManySmallSamplesHaveTheErrorOfTheirCount) {
  // 100 samples of small blocks, each standing for the distance: the square root of 100 is a tenth of it.
  constexpr double kDistance = 512 * 1024;
  const double variance = 100 * kDistance * kDistance;
  EXPECT_EQ(standard_error(variance), static_cast<std::uint64_t>(10 * kDistance));
  EXPECT_DOUBLE_EQ(relative_error(variance, static_cast<std::uint64_t>(100 * kDistance)), 0.1);
}

TEST(EstimateTest, WhatIsCountedHasNoError) {
  EXPECT_EQ(standard_error(0), 0U);
  EXPECT_EQ(relative_error(0, 100), 0.0);
  EXPECT_EQ(relative_error(100, 0), 0.0);
}

TEST(EstimateTest, TheErrorOfWhatLeakedIsThatOfItsShare) {
  SiteTotals site;
  site.alloc_bytes = 1000;
  site.live_variance = 400;
  EXPECT_DOUBLE_EQ(leak_variance(site), 400);
  site.young_bytes = 750;
  EXPECT_DOUBLE_EQ(leak_variance(site), 100);
  site.free_bytes = 1000;
  EXPECT_DOUBLE_EQ(leak_variance(site), 0);
}

}  // namespace
}  // namespace tracer::heap
