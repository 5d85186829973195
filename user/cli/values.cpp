// SPDX-License-Identifier: Apache-2.0
#include "cli/values.h"

#include <fmt/format.h>

#include <charconv>
#include <regex>
#include <unordered_set>

namespace tracer::cli {
namespace {

// std::regex recurses for every character of a pattern: a long one would overflow the stack.
constexpr std::size_t kLongestPattern = 1000;

/// The values without those that came before; a list may be too long to compare each with all.
template <typename T>
std::vector<T> each_once(std::vector<T> values) {
  std::unordered_set<T> seen;
  std::erase_if(values, [&](const T& value) { return !seen.insert(value).second; });
  return values;
}

}  // namespace

Error usage(std::string message, std::string hint) {
  return Error(ErrorKind::kUsage, std::move(message), std::move(hint));
}

Result<std::uint64_t> parse_number(const std::string& option, const std::string& text, std::uint64_t least,
                                   std::uint64_t most) {
  std::uint64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size() || value < least || value > most)
    return usage(fmt::format("{} {}: not a whole number from {} to {}", option, text, least, most));
  return value;
}

Result<std::vector<std::string>> split_lists(const std::string& option, const char* what,
                                             const std::vector<std::string>& lists) {
  std::vector<std::string> words;
  for (const std::string& list : lists) {
    std::string_view rest = list;
    for (bool more = true; more;) {
      const std::size_t comma = rest.find(',');
      more = comma != std::string_view::npos;
      words.emplace_back(rest.substr(0, comma));
      if (more) rest.remove_prefix(comma + 1);
      if (words.back().empty()) return usage(fmt::format("{} '{}': an empty {}", option, list, what));
    }
  }
  return each_once(std::move(words));
}

Result<void> check_regex(const std::string& option, const std::string& pattern) {
  if (pattern.size() > kLongestPattern)
    return usage(fmt::format("{}: longer than {} characters", option, kLongestPattern));
  try {
    std::regex(pattern, std::regex::ECMAScript);
  } catch (const std::regex_error&) {
    return usage(fmt::format("{} '{}': not a regular expression", option, pattern),
                 "the syntax is that of ECMAScript (JavaScript)");
  }
  return {};
}

Result<std::vector<pid_t>> parse_pids(const std::string& option, const std::vector<std::string>& lists) {
  Result<std::vector<std::string>> words = split_lists(option, "process id", lists);
  if (!words) return std::move(words).error();
  std::vector<pid_t> pids;
  for (const std::string& word : *words) {
    Result<std::uint64_t> pid = parse_number(option, word, 1, kLargestPid);
    if (!pid) return std::move(pid).error();
    pids.push_back(static_cast<pid_t>(*pid));
  }
  // "7" and "007" are one process.
  return each_once(std::move(pids));
}

}  // namespace tracer::cli
