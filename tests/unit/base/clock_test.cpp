// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <gtest/gtest.h>
#include <time.h>

namespace tracer {
namespace {

TEST(ClockTest, TurnsATimeSinceBootIntoUnixTime) {
  timespec since_boot{};
  ASSERT_EQ(::clock_gettime(CLOCK_BOOTTIME, &since_boot), 0);
  const auto boot_us = static_cast<std::uint64_t>(since_boot.tv_sec) * 1'000'000U +
                       static_cast<std::uint64_t>(since_boot.tv_nsec) / 1000U;
  constexpr double kBusyMachineUs = 5'000'000;
  EXPECT_NEAR(static_cast<double>(boot_unix_us() + boot_us), static_cast<double>(unix_us()), kBusyMachineUs);
}

}  // namespace
}  // namespace tracer
