// SPDX-License-Identifier: Apache-2.0
#include "report/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace tracer::report {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD
constexpr std::string_view kEllipsis = "...";
// From the Hangul letters on; the few wide characters below are left out.
constexpr char32_t kFirstWide = 0x1100;

struct Character {
  char32_t value = 0;
  std::size_t length = 1;  ///< bytes; of a malformed one, those that a decoder replaces together
  bool valid = false;
};

/// Shortest second byte range of a lead byte, from table 3-7 of the Unicode standard.
struct Lead {
  std::size_t length = 0;  ///< 0: not a lead byte
  unsigned char low = 0x80;
  unsigned char high = 0xbf;
};

Lead lead_of(unsigned char byte) {
  if (byte >= 0xc2 && byte <= 0xdf) return {.length = 2};
  if (byte == 0xe0) return {.length = 3, .low = 0xa0};
  if (byte == 0xed) return {.length = 3, .high = 0x9f};
  if (byte >= 0xe1 && byte <= 0xef) return {.length = 3};
  if (byte == 0xf0) return {.length = 4, .low = 0x90};
  if (byte >= 0xf1 && byte <= 0xf3) return {.length = 4};
  if (byte == 0xf4) return {.length = 4, .high = 0x8f};
  return {};
}

/// The first character of text that is not empty.
Character decode(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) return {first, 1, true};
  const Lead lead = lead_of(first);
  if (lead.length == 0) return {};
  char32_t value = first & (0x7fU >> lead.length);
  for (std::size_t i = 1; i < lead.length; ++i) {
    if (i == text.size()) return {0, i, false};
    const auto next = static_cast<unsigned char>(text[i]);
    const unsigned char low = i == 1 ? lead.low : 0x80;
    const unsigned char high = i == 1 ? lead.high : 0xbf;
    if (next < low || next > high) return {0, i, false};
    value = value << 6 | (next & 0x3fU);
  }
  return {value, lead.length, true};
}

/// Characters that are not seen, or that change how others are shown.
bool is_hidden(char32_t value) {
  if (value < 0x20 || (value >= 0x7f && value < 0xa0)) return true;
  if (value == 0xad || value == 0x61c || value == 0xfeff) return true;
  return (value >= 0x200b && value <= 0x200f) || (value >= 0x2028 && value <= 0x202e) ||
         (value >= 0x2060 && value <= 0x206f) || (value >= 0xfff9 && value <= 0xfffb) ||
         (value >= 0xe0000 && value <= 0xe0fff);
}

}  // namespace

std::string valid_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const Character next = decode(bytes);
    out.append(next.valid ? bytes.substr(0, next.length) : kReplacement);
    bytes.remove_prefix(next.length);
  }
  return out;
}

std::string printable(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const Character next = decode(bytes);
    const std::string_view raw = bytes.substr(0, next.length);
    if (!next.valid) {
      for (const char byte : raw)
        fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned char>(byte));
    } else if (!is_hidden(next.value)) {
      out.append(raw);
    } else {
      const auto value = static_cast<unsigned>(next.value);
      out.append(value < 0x80 ? fmt::format("\\x{:02x}", value) : fmt::format("\\u{:04x}", value));
    }
    bytes.remove_prefix(next.length);
  }
  return out;
}

std::size_t columns_of(std::string_view text) {
  std::size_t columns = 0;
  while (!text.empty()) {
    const Character next = decode(text);
    columns += next.value >= kFirstWide ? 2 : 1;
    text.remove_prefix(next.length);
  }
  return columns;
}

std::string cut_to(std::string_view text, std::size_t columns) {
  if (columns_of(text) <= columns) return std::string(text);
  const std::size_t room = columns - std::min(columns, kEllipsis.size());
  std::string out;
  std::size_t used = 0;
  while (!text.empty()) {
    const Character next = decode(text);
    used += next.value >= kFirstWide ? 2 : 1;
    if (used > room) break;
    out.append(text.substr(0, next.length));
    text.remove_prefix(next.length);
  }
  out.append(kEllipsis.substr(0, std::min(columns, kEllipsis.size())));
  return out;
}

std::string_view base_name(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace tracer::report
