// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tracer {

/// "500ms", "5s", "2m", "1h", "1d" or a bare number of seconds ("2.5"), in nanoseconds.
/// Fails with kUsage on anything else, on negative values and on what does not fit.
Result<std::uint64_t> parse_duration_ns(std::string_view text);

/// "512k", "1M", "2GiB" or a bare number of bytes; k, m, g, t are powers of 1024 in any case.
Result<std::uint64_t> parse_size_bytes(std::string_view text);

/// "0 B", "1023 B", "1.0 KiB", "17.4 MiB": at most one decimal, powers of 1024.
std::string format_bytes(std::uint64_t bytes);

/// "350 ms", "4.2 s", "3 m 20 s", "2 h 5 m": what a person reads as an age.
std::string format_duration(std::uint64_t duration_ns);

/// "1,234,567".
std::string format_count(std::uint64_t count);

}  // namespace tracer
