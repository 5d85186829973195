// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "report/document.h"

namespace tracer::report {
namespace {

/// ';' parts frames, and the last space parts the number: readers of the format know no way to escape them.
std::string folded_name(std::string_view name) {
  std::string text = one_line(name);
  std::ranges::replace(text, ';', ':');
  return text;
}

std::string stack_line(const Profile& profile, const Sample& sample) {
  std::string line = folded_name(profile.root_of(sample));
  for (const symbols::SourceFrame& source : profile.functions_of(sample)) {
    if (!line.empty()) line += ';';
    line += folded_name(source.function);
  }
  return line;
}

}  // namespace

Result<void> write_folded(const Profile& profile, const FormatOptions& options, Output& output) {
  // Stacks that differ in addresses only are one here.
  std::vector<std::pair<std::string, std::uint64_t>> lines;
  std::unordered_map<std::string, std::size_t> known;
  for (const Sample& sample : profile.samples()) {
    const std::uint64_t value = value_of(sample.totals, options.metric);
    if (value == 0) continue;
    std::string line = stack_line(profile, sample);
    const auto [place, is_new] = known.try_emplace(line, lines.size());
    if (is_new)
      lines.emplace_back(std::move(line), value);
    else
      lines[place->second].second += value;
  }
  std::string text;
  for (const auto& [line, value] : lines) fmt::format_to(std::back_inserter(text), "{} {}\n", line, value);
  return output.write(text);
}

}  // namespace tracer::report
