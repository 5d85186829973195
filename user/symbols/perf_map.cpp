// SPDX-License-Identifier: Apache-2.0
#include "symbols/perf_map.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>
#include <utility>

namespace tracer::symbols {
namespace {

constexpr std::size_t kLongestLine = 64 * 1024;

/// Takes a hexadecimal number and the blanks behind it off the front of a line.
std::optional<std::uint64_t> take_number(std::string_view* line) {
  if (line->starts_with("0x") || line->starts_with("0X")) line->remove_prefix(2);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(line->data(), line->data() + line->size(), value, 16);
  if (error != std::errc()) return std::nullopt;
  line->remove_prefix(static_cast<std::size_t>(end - line->data()));
  const std::size_t blanks = std::min(line->find_first_not_of(" \t"), line->size());
  if (blanks == 0) return std::nullopt;
  line->remove_prefix(blanks);
  return value;
}

}  // namespace

void PerfMap::add(std::string_view text) {
  for (std::size_t end = 0; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1)) {
    if (std::exchange(skips_, false)) continue;
    if (pending_.empty()) {
      add_line(text.substr(0, end));
    } else {
      pending_.append(text.substr(0, end));
      add_line(std::exchange(pending_, {}));
    }
  }
  if (skips_) return;
  pending_ += text;
  if (pending_.size() <= kLongestLine) return;
  pending_ = {};
  skips_ = true;
  ++broken_lines_;
}

void PerfMap::add_line(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.empty()) return;
  const std::optional<std::uint64_t> begin = take_number(&line);
  const std::optional<std::uint64_t> size = begin ? take_number(&line) : std::nullopt;
  const bool is_whole = size && *size > 0 && *begin + *size > *begin && !line.empty();
  if (!is_whole || names_.size() >= kMostNames) {
    ++broken_lines_;
    return;
  }
  add_code(*begin, *begin + *size, line.substr(0, kLongestName));
}

void PerfMap::add_code(std::uint64_t begin, std::uint64_t end, std::string_view name) {
  auto next = names_.lower_bound(begin);
  // One that begins before and reaches into the new one ends there, and what is left of it behind is no code any more.
  if (next != names_.begin() && std::prev(next)->second.end > begin) std::prev(next)->second.end = begin;
  while (next != names_.end() && next->first < end) next = names_.erase(next);
  names_.insert_or_assign(next, begin, Code{end, std::string(name)});
}

std::string_view PerfMap::name_at(std::uint64_t address) const {
  const auto after = names_.upper_bound(address);
  if (after == names_.begin()) return {};
  const Code& code = std::prev(after)->second;
  return address < code.end ? std::string_view(code.name) : std::string_view();
}

}  // namespace tracer::symbols
