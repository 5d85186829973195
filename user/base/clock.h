// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace tracer {

/// CLOCK_MONOTONIC in nanoseconds: the clock of the kernel side's time stamps.
std::uint64_t monotonic_ns();

/// Unix time in microseconds.
std::uint64_t unix_us();

}  // namespace tracer
