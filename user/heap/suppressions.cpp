// SPDX-License-Identifier: Apache-2.0
#include "heap/suppressions.h"

#include <algorithm>

namespace tracer::heap {
namespace {

constexpr std::string_view kBlank = " \t\r";
constexpr std::string_view kKind = "leak:";

std::string_view trimmed(std::string_view line) {
  line.remove_prefix(std::min(line.find_first_not_of(kBlank), line.size()));
  return line.substr(0, line.find_last_not_of(kBlank) + 1);
}

Error malformed(const std::string& name, std::size_t number, std::string_view line) {
  return Error(ErrorKind::kCorrupt,
               name + ":" + std::to_string(number) + ": not a suppression: '" + std::string(line.substr(0, 80)) + "'",
               "a line is 'leak:' and a part of the name of a function, module or source file; '#' begins a comment");
}

}  // namespace

Result<void> Suppressions::add(std::string_view text, const std::string& name) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    // A pattern without anything in it would hide every leak.
    if (!line.starts_with(kKind) || line.find_first_not_of("*^$", kKind.size()) == std::string_view::npos)
      return malformed(name, number, line);
    patterns_.push_back(read(line.substr(kKind.size())));
  }
  return {};
}

bool Suppressions::matches(std::string_view text) const {
  if (text.empty()) return false;
  return std::ranges::any_of(patterns_, [&](const Pattern& pattern) { return fits(pattern, text); });
}

Suppressions::Pattern Suppressions::read(std::string_view text) {
  Pattern pattern;
  pattern.at_begin = text.starts_with('^');
  if (pattern.at_begin) text.remove_prefix(1);
  pattern.at_end = text.ends_with('$');
  if (pattern.at_end) text.remove_suffix(1);
  for (bool more = true; more;) {
    const std::size_t star = text.find('*');
    more = star != std::string_view::npos;
    pattern.parts.emplace_back(text.substr(0, star));
    if (more) text.remove_prefix(star + 1);
  }
  return pattern;
}

/// Each part as early as possible leaves most room for the others, but for a last one that must stand at the end.
bool Suppressions::fits(const Pattern& pattern, std::string_view text) {
  const std::vector<std::string>& parts = pattern.parts;
  if (pattern.at_begin && !text.starts_with(parts.front())) return false;
  if (pattern.at_begin && pattern.at_end && parts.size() == 1) return text == parts.front();
  std::size_t from = pattern.at_begin ? parts.front().size() : 0;
  const std::size_t last = parts.size() - (pattern.at_end ? 1 : 0);
  for (std::size_t i = pattern.at_begin ? 1 : 0; i < last; ++i) {
    const std::size_t found = text.find(parts[i], from);
    if (found == std::string_view::npos) return false;
    from = found + parts[i].size();
  }
  return !pattern.at_end || text.substr(from).ends_with(parts.back());
}

}  // namespace tracer::heap
