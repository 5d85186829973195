// SPDX-License-Identifier: Apache-2.0
#include "report/file_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "report/text.h"

namespace tracer::report {
namespace {

constexpr std::string_view kPlaceholders = "phtn%";
constexpr const char* kMeanings = "%p is the process id, %h the host, %t the time, %n the snapshot, %% a percent sign";

std::string compact_time(std::uint64_t unix_us) {
  const auto seconds = static_cast<std::time_t>(unix_us / 1'000'000);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  char text[32];
  return {text, std::strftime(text, sizeof(text), "%Y%m%d-%H%M%S", &local)};
}

/// A host's name may hold anything but must not lead into another folder.
std::string without_slashes(std::string text) {
  std::ranges::replace(text, '/', '_');
  return text;
}

std::string meaning_of(char placeholder, const NameFacts& facts, std::uint64_t seq) {
  switch (placeholder) {
    case 'p':
      return std::to_string(facts.pid);
    case 'h':
      return without_slashes(facts.host);
    case 't':
      return compact_time(facts.unix_us);
    case 'n':
      return std::to_string(seq);
    default:
      return "%";
  }
}

}  // namespace

Result<void> check_file_name(std::string_view path) {
  const std::string_view name = base_name(path);
  const std::string_view folder = path.substr(0, path.size() - name.size());
  if (has_placeholder(folder))
    return Error(ErrorKind::kUsage, fmt::format("--output '{}': a place-holder in the name of a folder", path),
                 "only the name of the file itself can have them");
  for (std::size_t at = name.find('%'); at != std::string_view::npos; at = name.find('%', at + 2)) {
    if (at + 1 < name.size() && kPlaceholders.find(name[at + 1]) != std::string_view::npos) continue;
    return Error(ErrorKind::kUsage, fmt::format("--output '{}': unknown place-holder '{}'", path, name.substr(at, 2)),
                 kMeanings);
  }
  return {};
}

bool has_snapshot_number(std::string_view path) {
  for (std::size_t at = path.find('%'); at != std::string_view::npos; at = path.find('%', at + 2)) {
    if (path.substr(at, 2) == "%n") return true;
  }
  return false;
}

bool has_placeholder(std::string_view path) { return path.find('%') != std::string_view::npos; }

std::string expand_file_name(std::string_view path, const NameFacts& facts, std::uint64_t seq) {
  std::string name;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] != '%' || i + 1 == path.size()) {
      name += path[i];
      continue;
    }
    name += meaning_of(path[++i], facts, seq);
  }
  return name;
}

}  // namespace tracer::report
