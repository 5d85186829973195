// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>

#include "base/result.h"

namespace tracer::log {

/// How much goes to stderr. Errors are always shown.
enum class Level { kQuiet = 0, kNormal = 1, kVerbose = 2, kDebug = 3 };

void set_level(Level level);
Level level();

/// One line on stderr, "tracer: " in front, nothing when `at` is above the level set.
void write(Level at, const std::string& line);

/// An error with its hint on a second line; shown at every level.
void error(const Error& error);

template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::kNormal, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void verbose(fmt::format_string<Args...> format, Args&&... args) {
  if (level() >= Level::kVerbose) write(Level::kVerbose, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  if (level() >= Level::kDebug) write(Level::kDebug, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace tracer::log
