// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <ctime>

namespace tracer {

std::uint64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
}

std::uint64_t unix_us() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000U + static_cast<std::uint64_t>(now.tv_nsec) / 1000U;
}

std::uint64_t boot_unix_us() {
  timespec since_boot{};
  clock_gettime(CLOCK_BOOTTIME, &since_boot);
  return unix_us() - static_cast<std::uint64_t>(since_boot.tv_sec) * 1'000'000U -
         static_cast<std::uint64_t>(since_boot.tv_nsec) / 1000U;
}

}  // namespace tracer
