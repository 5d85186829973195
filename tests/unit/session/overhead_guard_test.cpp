// SPDX-License-Identifier: Apache-2.0
#include "session/overhead_guard.h"

#include <gtest/gtest.h>

namespace tracer::session {
namespace {

using Step = OverheadGuard::Step;

constexpr std::uint64_t kSecond = 1'000'000'000;

/// A program that uses a processor for itself and makes so many calls a second, of 2 µs each, or 1 µs when sampled.
class OverheadGuardTest : public testing::Test {
 protected:
  OverheadGuard::Verdict second(std::uint64_t calls, std::uint64_t cpu_ns = kSecond) {
    now_.t_ns += kSecond;
    now_.calls += calls;
    now_.cpu_ns += cpu_ns;
    const OverheadGuard::Verdict verdict = guard_.judge(1, now_, level_);
    if (verdict.step == Step::kSample) level_ = verdict.level;
    return verdict;
  }

  OverheadGuard guard_{20, {2000, 1000}};
  OverheadGuard::Reading now_;
  std::uint32_t level_ = 0;
};

TEST_F(OverheadGuardTest, SaysWhatIsLost) {
  second(0);
  const OverheadGuard::Verdict verdict = second(50'000);
  EXPECT_DOUBLE_EQ(verdict.percent, 10);
  EXPECT_DOUBLE_EQ(verdict.calls_per_s, 50'000);
  EXPECT_EQ(verdict.step, Step::kNone);
}

TEST_F(OverheadGuardTest, ABurstPasses) {
  second(0);
  EXPECT_EQ(second(400'000).step, Step::kNone);
  EXPECT_EQ(second(1000).step, Step::kNone);
  EXPECT_EQ(second(400'000).step, Step::kNone);
}

TEST_F(OverheadGuardTest, FirstRecordsFewerThenNone) {
  second(0);
  second(450'000);
  EXPECT_EQ(second(450'000).step, Step::kSample);
  EXPECT_EQ(level_, 1U);
  EXPECT_EQ(second(450'000).step, Step::kNone) << "what it costs now has to be seen first";
  EXPECT_EQ(second(450'000).step, Step::kSample);
  EXPECT_EQ(level_, 5U);
  second(450'000);
  EXPECT_EQ(second(450'000).step, Step::kMute);
}

TEST_F(OverheadGuardTest, IsContentWhenSamplingHelps) {
  second(0);
  second(150'000);
  EXPECT_EQ(second(150'000).step, Step::kSample);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(second(150'000).step, Step::kNone) << "15 %";
}

TEST_F(OverheadGuardTest, WhoLosesNextToNothingIsLeftAlone) {
  second(0);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(second(4000, 10'000'000).step, Step::kNone) << "80 % of very little";
}

TEST_F(OverheadGuardTest, CountsWhatWasLostAsUsed) {
  second(0);
  const OverheadGuard::Verdict verdict = second(50'000, 0);
  EXPECT_DOUBLE_EQ(verdict.percent, 100) << "not infinitely much";
}

TEST_F(OverheadGuardTest, AProgramIsJudgedFromItsFirstReadingOn) {
  now_ = {5 * kSecond, 10'000'000, kSecond};
  EXPECT_EQ(guard_.judge(1, now_, 0).step, Step::kNone);
  guard_.forget(1);
  EXPECT_EQ(second(900'000).percent, 0) << "another program under the same number";
}

}  // namespace
}  // namespace tracer::session
