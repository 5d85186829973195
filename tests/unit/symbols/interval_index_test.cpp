// SPDX-License-Identifier: Apache-2.0
#include "symbols/interval_index.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

namespace tracer::symbols {
namespace {

TEST(IntervalIndexTest, FindsTheSameRangesAsATrialOfAll) {
  std::mt19937 random(7);
  struct Range {
    std::uint64_t begin, end;
  };
  std::vector<Range> ranges;
  IntervalIndex<std::size_t> index;
  for (std::size_t i = 0; i < 200; ++i) {
    const std::uint64_t begin = random() % 1000;
    ranges.push_back({begin, begin + random() % (i % 10 == 0 ? 400 : 20)});
    index.add(ranges[i].begin, ranges[i].end, i);
  }
  index.seal();
  for (std::uint64_t address = 0; address < 1500; ++address) {
    std::vector<bool> seen(ranges.size());
    std::uint64_t last_begin = UINT64_MAX;
    index.visit(address, [&](std::size_t i) {
      seen[i] = true;
      EXPECT_LE(ranges[i].begin, last_begin);
      last_begin = ranges[i].begin;
      return false;
    });
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      EXPECT_EQ(seen[i], ranges[i].begin <= address && address < ranges[i].end) << address << " in range " << i;
    }
  }
}

TEST(IntervalIndexTest, StopsWhenTheVisitorIsContent) {
  IntervalIndex<int> index;
  index.add(10, 90, 1);
  index.add(20, 30, 2);
  index.seal();
  std::vector<int> seen;
  EXPECT_TRUE(index.visit(25, [&seen](int value) {
    seen.push_back(value);
    return true;
  }));
  EXPECT_EQ(seen, std::vector<int>{2});
}

TEST(IntervalIndexTest, IgnoresEmptyAndReversedRanges) {
  IntervalIndex<int> index;
  index.add(5, 5, 1);
  index.add(9, 3, 2);
  index.seal();
  EXPECT_TRUE(index.empty());
}

}  // namespace
}  // namespace tracer::symbols
