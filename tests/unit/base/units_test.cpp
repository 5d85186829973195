// SPDX-License-Identifier: Apache-2.0
#include "base/units.h"

#include <gtest/gtest.h>

namespace tracer {
namespace {

TEST(UnitsTest, ReadsTimes) {
  EXPECT_EQ(*parse_duration_ns("5"), 5'000'000'000U);
  EXPECT_EQ(*parse_duration_ns("0"), 0U);
  EXPECT_EQ(*parse_duration_ns("500ms"), 500'000'000U);
  EXPECT_EQ(*parse_duration_ns("2.5s"), 2'500'000'000U);
  EXPECT_EQ(*parse_duration_ns("2m"), 120'000'000'000U);
  EXPECT_EQ(*parse_duration_ns("1h"), 3'600'000'000'000U);
  EXPECT_EQ(*parse_duration_ns("1d"), 86'400'000'000'000U);
  EXPECT_EQ(*parse_duration_ns("10 ms"), 10'000'000U);
}

TEST(UnitsTest, RefusesWhatIsNoTime) {
  for (const char* text :
       {"", "s", "ms", "-1", "-1s", "1x", "1 2", "1e3s", "nan", "inf", "99999999999d", "5sec", "0x10"}) {
    const Result<std::uint64_t> value = parse_duration_ns(text);
    ASSERT_FALSE(value.ok()) << text;
    EXPECT_EQ(value.error().kind(), ErrorKind::kUsage) << text;
    EXPECT_FALSE(value.error().hint().empty()) << text;
  }
}

TEST(UnitsTest, ReadsSizesAsPowersOf1024) {
  EXPECT_EQ(*parse_size_bytes("100"), 100U);
  EXPECT_EQ(*parse_size_bytes("100b"), 100U);
  for (const char* text : {"512k", "512K", "512kb", "512KiB", "512kib"})
    EXPECT_EQ(*parse_size_bytes(text), 524'288U) << text;
  EXPECT_EQ(*parse_size_bytes("1.5M"), 1'572'864U);
  EXPECT_EQ(*parse_size_bytes("2G"), 2ULL << 30);
  EXPECT_EQ(*parse_size_bytes("1T"), 1ULL << 40);
}

TEST(UnitsTest, RefusesWhatIsNoSize) {
  for (const char* text : {"", "k", "-1", "1q", "1kk", "99999999999T", "1 000"})
    EXPECT_FALSE(parse_size_bytes(text).ok()) << text;
}

TEST(UnitsTest, WritesSizesForPeople) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1.0 KiB");
  EXPECT_EQ(format_bytes(1024 * 1024 - 1), "1.0 MiB");
  EXPECT_EQ(format_bytes(~std::uint64_t{0}), "16.0 EiB");
}

TEST(UnitsTest, WritesTimesAndCountsForPeople) {
  EXPECT_EQ(format_duration(350'000'000), "350 ms");
  EXPECT_EQ(format_duration(4'250'000'000), "4.2 s");
  EXPECT_EQ(format_duration(200'000'000'000), "3 m 20 s");
  EXPECT_EQ(format_duration(7'500'000'000'000), "2 h 5 m");
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1'234'567), "1,234,567");
}

}  // namespace
}  // namespace tracer
