// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace tracer {

/// CLOCK_MONOTONIC in nanoseconds: the clock of the kernel side's time stamps.
std::uint64_t monotonic_ns();

/// Unix time in microseconds.
std::uint64_t unix_us();

/// Unix time in microseconds at which CLOCK_BOOTTIME was 0: turns start times of processes into Unix time. Differs from
/// call to call by what the clock was set meanwhile.
std::uint64_t boot_unix_us();

}  // namespace tracer
