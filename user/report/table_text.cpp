// SPDX-License-Identifier: Apache-2.0
#include "report/table_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "base/units.h"
#include "heap/estimate.h"
#include "report/text.h"

namespace tracer::report {
namespace {

constexpr std::string_view kGap = "   ";
constexpr std::string_view kContinuation = "    ";
// A function's name is not cut shorter than this: less would not tell one from another.
constexpr std::size_t kShortestName = 16;

const char* color_of(Tone tone) {
  switch (tone) {
    case Tone::kTitle:
      return "\x1b[1m";
    case Tone::kFaint:
      return "\x1b[2m";
    case Tone::kLoud:
      return "\x1b[1;31m";
    case Tone::kPlain:
      break;
  }
  return "";
}

std::string tail_of(const symbols::SourceFrame& source, std::string_view file, std::string_view module_path) {
  std::string tail;
  if (!file.empty()) tail = " at " + printable(file);
  if (!file.empty() && source.line != 0) tail += fmt::format(":{}", source.line);
  // A frame without a name has its module in the place of the name.
  if (source.named && !module_path.empty()) tail += " (" + printable(base_name(module_path)) + ")";
  if (source.inlined) tail += " (inlined)";
  return tail;
}

}  // namespace

void TableText::line(std::string_view text, Tone tone) {
  const bool colored = style_.color && tone != Tone::kPlain;
  if (colored) text_ += color_of(tone);
  text_ += text;
  if (colored) text_ += "\x1b[0m";
  text_ += '\n';
}

void TableText::parts(const std::vector<std::string>& parts, Tone tone) {
  std::string current;
  for (const std::string& part : parts) {
    const bool fits = style_.columns == 0 || columns_of(current) + kGap.size() + columns_of(part) <= style_.columns;
    if (current.empty()) {
      current = part;
    } else if (fits) {
      current.append(kGap).append(part);
    } else {
      line(current, tone);
      current = std::string(kContinuation) + part;
    }
  }
  line(current, tone);
}

void TableText::frame(std::size_t number, const symbols::SourceFrame& source, std::string_view module_path, Tone tone) {
  const std::string head = fmt::format("      #{} ", number);
  std::string name = printable(source.function);
  std::string tail = tail_of(source, source.file, module_path);
  const std::size_t columns = style_.columns;
  if (columns == 0) return line(head + name + tail, tone);
  if (columns_of(head) + columns_of(name) + columns_of(tail) > columns)
    tail = tail_of(source, base_name(source.file), module_path);
  const std::size_t taken = columns_of(head) + columns_of(tail);
  name = cut_to(name, std::max(columns - std::min(columns, taken), kShortestName));
  line(cut_to(head + name + tail, columns), tone);
}

std::string counted(std::uint64_t count, const char* noun) {
  return fmt::format("{} {}{}", format_count(count), noun, count == 1 ? "" : "s");
}

const char* mark(const Certainty& certainty) { return certainty.estimated ? "~" : ""; }

std::string error_of(std::uint64_t bytes, const Certainty& certainty) {
  const double percent = 100 * heap::relative_error(certainty.variance, bytes);
  if (percent == 0) return {};
  return percent < 9.95 ? fmt::format(" ±{:.1f}%", percent) : fmt::format(" ±{:.0f}%", percent);
}

std::string bytes_in_blocks(std::uint64_t bytes, std::uint64_t blocks, const Certainty& certainty) {
  const char* about = mark(certainty);
  return about + format_bytes(bytes) + error_of(bytes, certainty) + " in " + about + counted(blocks, "block");
}

std::string time_of_day(std::uint64_t unix_us) {
  const auto seconds = static_cast<std::time_t>(unix_us / 1'000'000);
  std::tm local{};
  if (::localtime_r(&seconds, &local) == nullptr) return "--:--:--";
  return fmt::format("{:02}:{:02}:{:02}", local.tm_hour, local.tm_min, local.tm_sec);
}

}  // namespace tracer::report
