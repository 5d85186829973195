// SPDX-License-Identifier: Apache-2.0
#include "cli/machine_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "cli/values.h"
#include "proc/users.h"

namespace tracer::cli {
namespace {

using session::Config;

// The numbers of namespaces begin above those of processes: PROC_DYNAMIC_FIRST, include/linux/proc_ns.h.
constexpr std::uint64_t kLeastNamespace = 0xEFFFFFF0;
constexpr std::size_t kLongestContainer = 255;  // NAME_MAX: it is a directory of the cgroup tree
constexpr uid_t kNoUser = static_cast<uid_t>(-1);

bool is_number(const std::string& text) {
  return std::ranges::all_of(text, [](char digit) { return digit >= '0' && digit <= '9'; });
}

/// The first option of these that was given.
const char* first_given(const RawMachine& raw) {
  if (!raw.comms.empty()) return "--comm";
  if (!raw.users.empty()) return "--user";
  if (!raw.cgroups.empty()) return "--cgroup";
  if (!raw.containers.empty()) return "--container";
  if (!raw.excluded_pids.empty()) return "--exclude-pid";
  if (!raw.pidns.empty()) return "--pidns";
  if (!raw.by.empty()) return "--by";
  return raw.max_overhead.empty() ? nullptr : "--max-overhead";
}

Result<void> read_users(const RawMachine& raw, Config& config) {
  Result<std::vector<std::string>> words = split_lists("--user", "user", raw.users);
  if (!words) return std::move(words).error();
  for (const std::string& word : *words) {
    uid_t uid = 0;
    if (is_number(word)) {
      Result<std::uint64_t> number = parse_number("--user", word, 0, kNoUser - 1);
      if (!number) return std::move(number).error();
      uid = static_cast<uid_t>(*number);
    } else {
      const std::optional<uid_t> found = proc::find_user(word);
      if (!found)
        return usage(fmt::format("--user '{}': there is no such user here", word),
                     "'getent passwd' lists users; for one of a container give its number as the host sees it");
      uid = *found;
    }
    if (std::ranges::find(config.filter.users, uid) == config.filter.users.end()) config.filter.users.push_back(uid);
  }
  return {};
}

Result<void> read_containers(const RawMachine& raw, Config& config) {
  for (const std::string& text : raw.containers) {
    if (text.size() > kLongestContainer || text.find('/') != std::string::npos)
      return usage(fmt::format("--container '{}': neither an id nor a name", text.substr(0, kLongestContainer)),
                   "give the id, 6 or more of its first digits, or the name of an lxc or nspawn container");
  }
  config.filter.containers = raw.containers;
  return {};
}

/// A process id or the number of a namespace: the two ranges do not meet.
Result<void> read_pidns(const RawMachine& raw, Config& config) {
  if (raw.pidns.empty()) return {};
  const Result<std::uint64_t> number = parse_number("--pidns", raw.pidns, 1, std::numeric_limits<std::uint32_t>::max());
  if (!number || (*number > kLargestPid && *number < kLeastNamespace))
    return usage(fmt::format("--pidns {}: neither a process id nor the number of a pid namespace", raw.pidns),
                 "'lsns -t pid' lists them");
  proc::PidNamespace& pidns = config.filter.pidns.emplace();
  if (*number <= kLargestPid)
    pidns.pid = static_cast<pid_t>(*number);
  else
    pidns.inode = *number;
  return {};
}

Result<void> read_by(const RawMachine& raw, Config& config) {
  if (raw.by.empty()) return {};
  if (const std::optional<heap::GroupBy> by = heap::group_by_named(raw.by)) {
    config.by = *by;
    return {};
  }
  return usage(fmt::format("--by '{}': must be process, exe, container or user", raw.by));
}

Result<void> read_overhead(const RawMachine& raw, Config& config) {
  if (raw.max_overhead.empty()) return {};
  if (raw.max_overhead == "off") {
    config.max_overhead_percent = 0;
    return {};
  }
  std::string_view text = raw.max_overhead;
  if (text.ends_with('%')) text.remove_suffix(1);
  double percent = 0;
  const auto [end, failure] =
      std::from_chars(text.data(), text.data() + text.size(), percent, std::chars_format::fixed);
  if (failure != std::errc() || end != text.data() + text.size() || !(percent > 0 && percent <= 100))
    return usage(
        fmt::format("--max-overhead '{}': must be off, or more than 0 and at most 100 percent", raw.max_overhead));
  config.max_overhead_percent = percent;
  return {};
}

}  // namespace

Result<void> read_machine(const RawMachine& raw, Config& config) {
  const char* given = first_given(raw);
  if (given == nullptr) return {};
  if (!config.all)
    return usage(fmt::format("{} needs --all", given),
                 "'tracer --all' traces the whole machine, or what filters leave of it");
  for (const std::string& text : raw.comms) config.filter.comms.push_back(proc::comm_glob(text));
  config.filter.cgroups = raw.cgroups;
  Result<std::vector<pid_t>> excluded = parse_pids("--exclude-pid", raw.excluded_pids);
  if (!excluded) return std::move(excluded).error();
  config.filter.excluded_pids = std::move(*excluded);
  for (auto read : {read_users, read_containers, read_pidns, read_by, read_overhead}) {
    if (Result<void> done = read(raw, config); !done) return done;
  }
  return {};
}

}  // namespace tracer::cli
