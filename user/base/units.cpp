// SPDX-License-Identifier: Apache-2.0
#include "base/units.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

namespace tracer {
namespace {

struct Unit {
  std::string_view suffix;
  double factor;
};

constexpr std::array<Unit, 8> kDurations{
    {{"", 1e9}, {"ns", 1.0}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}, {"d", 86400e9}}};

constexpr double kKi = 1024.0;
constexpr std::array<Unit, 6> kSizes{
    {{"", 1.0}, {"b", 1.0}, {"k", kKi}, {"m", kKi* kKi}, {"g", kKi* kKi* kKi}, {"t", kKi* kKi* kKi* kKi}}};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = (c >= 'A' && c <= 'Z') ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

/// "1.5g" -> 1.5 and "g"; nothing when it does not start with a number.
bool split_number(std::string_view text, double* number, std::string_view* rest) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number, std::chars_format::fixed);
  if (error != std::errc()) return false;
  *rest = text.substr(static_cast<std::size_t>(end - text.data()));
  while (!rest->empty() && rest->front() == ' ') rest->remove_prefix(1);
  return true;
}

template <std::size_t N>
Result<std::uint64_t> parse(std::string_view text, std::string_view suffix_given, const std::array<Unit, N>& units,
                            double number, const std::string& hint) {
  for (const Unit& unit : units) {
    if (suffix_given != unit.suffix) continue;
    const double value = number * unit.factor;
    if (!(value >= 0) || value >= 9.2e18) break;
    return static_cast<std::uint64_t>(std::llround(value));
  }
  return Error(ErrorKind::kUsage, fmt::format("'{}' is out of range or has an unknown unit", text), hint);
}

}  // namespace

Result<std::uint64_t> parse_duration_ns(std::string_view text) {
  static const std::string kHint = "a time is a number with ms, s, m, h or d; a bare number is seconds";
  double number = 0;
  std::string_view rest;
  if (!split_number(text, &number, &rest))
    return Error(ErrorKind::kUsage, fmt::format("'{}' is not a time", text), kHint);
  return parse(text, rest, kDurations, number, kHint);
}

Result<std::uint64_t> parse_size_bytes(std::string_view text) {
  static const std::string kHint = "a size is a number with k, m, g or t (powers of 1024); a bare number is bytes";
  double number = 0;
  std::string_view rest;
  if (!split_number(text, &number, &rest))
    return Error(ErrorKind::kUsage, fmt::format("'{}' is not a size", text), kHint);
  std::string suffix = lower(rest);
  if (suffix.size() == 3 && suffix.ends_with("ib")) suffix.resize(1);
  if (suffix.size() == 2 && suffix.ends_with("b")) suffix.resize(1);
  return parse(text, suffix, kSizes, number, kHint);
}

std::string format_bytes(std::uint64_t bytes) {
  static constexpr std::array<const char*, 6> kNames{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / kKi;
  std::size_t unit = 0;
  // 1023.95 would print as "1024.0".
  while (value >= 1023.95 && unit + 1 < kNames.size()) {
    value /= kKi;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kNames[unit]);
}

std::string format_duration(std::uint64_t duration_ns) {
  const std::uint64_t ms = duration_ns / 1'000'000;
  if (ms < 1000) return fmt::format("{} ms", ms);
  if (ms < 60'000) return fmt::format("{}.{} s", ms / 1000, ms % 1000 / 100);
  const std::uint64_t s = ms / 1000;
  if (s < 3600) return fmt::format("{} m {} s", s / 60, s % 60);
  return fmt::format("{} h {} m", s / 3600, s % 3600 / 60);
}

std::string format_count(std::uint64_t count) {
  std::string digits = fmt::format("{}", count);
  for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

}  // namespace tracer
