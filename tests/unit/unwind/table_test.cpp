// SPDX-License-Identifier: Apache-2.0
#include "unwind/table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace tracer::unwind {
namespace {

tr_rule rule(std::int32_t offset) {
  tr_rule out{};
  out.cfa = offset == 0 ? TR_CFA_NONE : TR_CFA_SP;
  out.cfa_offset = offset;
  return out;
}

std::int32_t offset_found(const Table& table, const Rules& rules, std::uint64_t at) {
  return rules.all()[find_rule(table, at)].cfa_offset;
}

TEST(RulesTest, EachIsKeptOnce) {
  Rules rules;
  EXPECT_EQ(rules.number_of(rule(0)), Rules::kNone);
  const std::uint16_t first = rules.number_of(rule(8));
  EXPECT_EQ(rules.number_of(rule(8)), first);
  EXPECT_NE(rules.number_of(rule(16)), first);
  EXPECT_EQ(rules.all()[first].cfa_offset, 8);
  EXPECT_EQ(rules.all()[Rules::kUnsupported].cfa, TR_CFA_UNSUPPORTED);
}

TEST(RulesTest, WhenAllNumbersAreUsedFurtherOnesAreUnsupported) {
  Rules rules;
  for (std::int32_t i = 1; i < TR_MAX_RULES + 100; ++i) rules.number_of(rule(i));
  EXPECT_EQ(rules.all().size(), static_cast<std::size_t>(TR_MAX_RULES));
  EXPECT_EQ(rules.number_of(rule(1 << 20)), Rules::kUnsupported);
  EXPECT_NE(rules.number_of(rule(5)), Rules::kUnsupported);
}

TEST(TableTest, AnswersLikeASearchThroughTheRows) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 60; ++round) {
    // Dense and sparse, over borders of 64 KiB.
    const std::uint64_t spread = round % 3 == 0 ? 400 : round % 3 == 1 ? 40'000 : 1'000'000;
    const std::uint64_t base = 0x1000 + random() % 100'000;
    std::set<std::uint64_t> places;
    while (places.size() < 300) places.insert(base + random() % spread);
    std::vector<Row> rows;
    for (const std::uint64_t place : places)
      rows.push_back({place, rule(static_cast<std::int32_t>(random() % 90) * 8)});
    Rules rules;
    const Result<Table> table = build_table(rows, rules);
    ASSERT_TRUE(table.ok());
    EXPECT_EQ(table->low % (1U << TR_BUCKET_SHIFT), 0U);
    for (int i = 0; i < 3000; ++i) {
      const std::uint64_t at = base - 200 + random() % (spread + 400);
      const auto behind = std::ranges::upper_bound(rows, at, {}, &Row::offset);
      const bool is_covered = behind != rows.begin() && at < ((rows.back().offset >> TR_BUCKET_SHIFT) + 1)
                                                                 << TR_BUCKET_SHIFT;
      const std::int32_t expected = is_covered ? std::prev(behind)->rule.cfa_offset : 0;
      ASSERT_EQ(offset_found(*table, rules, at), expected) << at;
    }
  }
}

TEST(TableTest, ARowHoldsThroughEmptyBuckets) {
  Rules rules;
  const Result<Table> table = build_table(std::vector<Row>{{0x1010, rule(8)}, {0x91010, rule(16)}}, rules);
  ASSERT_TRUE(table.ok());
  EXPECT_EQ(offset_found(*table, rules, 0x100f), 0);
  EXPECT_EQ(offset_found(*table, rules, 0x1010), 8);
  EXPECT_EQ(offset_found(*table, rules, 0x51000), 8) << "64 KiB and more further on";
  EXPECT_EQ(offset_found(*table, rules, 0x9100f), 8);
  EXPECT_EQ(offset_found(*table, rules, 0x91010), 16);
}

TEST(TableTest, NoRowsNoWords) {
  Rules rules;
  const Result<Table> table = build_table({}, rules);
  ASSERT_TRUE(table.ok());
  EXPECT_TRUE(table->words.empty());
}

TEST(TableTest, AnAbsurdRangeIsRefused) {
  Rules rules;
  EXPECT_FALSE(build_table(std::vector<Row>{{0, rule(8)}, {1ULL << 40, rule(16)}}, rules).ok());
}

}  // namespace
}  // namespace tracer::unwind
