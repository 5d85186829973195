// SPDX-License-Identifier: Apache-2.0
#include "heap/grouping.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

namespace tracer::heap {
namespace {

constexpr double kNsPerSecond = 1e9;
// Programs and containers of a machine are some hundreds; where each of many has a name of its own, as build trees
// have, their ends would fill memory for as long as the run goes on.
constexpr std::size_t kMostExitedGroups = 4096;

constexpr std::array<std::pair<GroupBy, const char*>, 4> kNames{{{GroupBy::kProcess, "process"},
                                                                 {GroupBy::kExe, "exe"},
                                                                 {GroupBy::kContainer, "container"},
                                                                 {GroupBy::kUser, "user"}}};

using Groups = std::map<std::string, Group>;

Groups add_up(const Snapshot& snapshot, GroupBy by) {
  Groups groups;
  for (const ProcessSnapshot& process : snapshot.processes) {
    Group& group = groups[group_key(process, by)];
    group.members.push_back(&process);
    group.estimated = group.estimated || process.estimated;
    group.live_objects += process.live_objects;
    group.live_bytes += process.live_bytes;
    group.alloc_objects_total += process.alloc_objects_total;
    group.alloc_bytes_total += process.alloc_bytes_total;
    group.rss_bytes += process.rss_bytes;
  }
  for (const auto& [key, exited] : snapshot.exited_groups) {
    Group& group = groups[key];
    group.exited = exited.processes;
    group.alloc_objects_total += exited.counters.alloc_objects_total;
    group.alloc_bytes_total += exited.counters.alloc_bytes_total;
  }
  return groups;
}

/// The pid comes last so that equals keep their order from one report to the next.
auto order_of(const ProcessSnapshot& process) {
  return std::tuple(~process.live_bytes, ~process.alloc_bytes_total, process.pid);
}

std::vector<Group> sorted(Groups groups) {
  std::vector<Group> out;
  for (auto& [key, group] : groups) {
    group.key = key;
    std::ranges::sort(group.members, {}, [](const ProcessSnapshot* member) { return order_of(*member); });
    out.push_back(std::move(group));
  }
  std::ranges::sort(out, {}, [](const Group& group) {
    const std::int32_t pid = group.members.empty() ? 0 : group.members.front()->pid;
    return std::tuple(~group.live_bytes, ~group.alloc_bytes_total, pid, group.key);
  });
  return out;
}

/// A change of counters that never fall. What a group has lost by moves between groups is not a rate.
double gained(std::int64_t change) { return static_cast<double>(std::max<std::int64_t>(change, 0)); }

std::int64_t less(std::uint64_t now, std::uint64_t before) { return static_cast<std::int64_t>(now - before); }

/// By how much a group's counters have changed.
struct Change {
  std::int64_t live_bytes = 0;
  std::int64_t alloc_objects = 0;
};

GroupRates rates_of(const Change& change, std::uint64_t duration_ns) {
  const double seconds = static_cast<double>(duration_ns) / kNsPerSecond;
  return {static_cast<double>(change.live_bytes) / seconds, gained(change.alloc_objects) / seconds};
}

}  // namespace

const char* group_by_name(GroupBy by) {
  for (const auto& [known, name] : kNames) {
    if (known == by) return name;
  }
  return "";
}

std::optional<GroupBy> group_by_named(std::string_view wanted) {
  for (const auto& [by, name] : kNames) {
    if (wanted == name) return by;
  }
  return std::nullopt;
}

std::string group_key(const ProcessSnapshot& process, GroupBy by) {
  switch (by) {
    case GroupBy::kProcess:
      break;
    case GroupBy::kExe:
      // One that was gone before anybody looked has its name at least.
      return process.exe.empty() ? process.comm : process.exe;
    case GroupBy::kContainer:
      return process.container;
    case GroupBy::kUser:
      return process.user;
  }
  return std::to_string(process.pid) + "/" + std::to_string(process.start_ns) + "/" + std::to_string(process.execs);
}

std::vector<Group> RateTracker::update(const Snapshot& snapshot) {
  Groups groups = add_up(snapshot, by_);
  std::map<std::string, Change> changes;
  std::map<HeapIdentity, Known> before = std::exchange(processes_, {});
  for (const ProcessSnapshot& process : snapshot.processes) {
    Known now{group_key(process, by_), process.live_bytes, process.alloc_objects_total};
    const auto known = before.find(process.identity());
    const Known old = known == before.end() ? Known() : known->second;
    if (known != before.end()) before.erase(known);
    Change& change = changes[now.key];
    change.live_bytes += less(now.live_bytes, old.live_bytes);
    change.alloc_objects += less(now.alloc_objects, old.alloc_objects);
    processes_[process.identity()] = std::move(now);
  }
  // Those that have ended took their blocks with them; what they had counted before is in their group's books now.
  for (const auto& [identity, old] : before) {
    Change& change = changes[old.key];
    change.live_bytes -= static_cast<std::int64_t>(old.live_bytes);
    change.alloc_objects -= static_cast<std::int64_t>(old.alloc_objects);
  }
  for (const auto& [key, exited] : snapshot.exited_groups) {
    Known& old = exited_[key];
    changes[key].alloc_objects += less(exited.counters.alloc_objects_total, old.alloc_objects);
    old.alloc_objects = exited.counters.alloc_objects_total;
  }
  if (!std::exchange(is_first_, false) && snapshot.t_ns > t_ns_) {
    for (auto& [key, group] : groups) group.rates = rates_of(changes[key], snapshot.t_ns - t_ns_);
  }
  t_ns_ = snapshot.t_ns;
  return sorted(std::move(groups));
}

std::vector<Group> group_with_means(const Snapshot& snapshot, GroupBy by, std::uint64_t duration_ns) {
  Groups groups = add_up(snapshot, by);
  if (duration_ns == 0) return sorted(std::move(groups));
  for (auto& [key, group] : groups) {
    group.rates = rates_of({less(group.live_bytes, 0), less(group.alloc_objects_total, 0)}, duration_ns);
  }
  return sorted(std::move(groups));
}

void ExitedBooks::add(const ProcessSnapshot& process) {
  ++processes_;
  all_ += process;
  // By process each would be a group of its own, one that nobody asks for any more.
  if (by_ == GroupBy::kProcess) return;
  std::string key = group_key(process, by_);
  if (groups_.size() >= kMostExitedGroups && !groups_.contains(key)) return;
  ExitedGroup& group = groups_[std::move(key)];
  ++group.processes;
  group.counters += process;
}

void ExitedBooks::complete(Snapshot& snapshot) const {
  MachineTotals& machine = snapshot.machine.emplace();
  machine.processes_live = snapshot.processes.size();
  machine.processes_exited_total = processes_;
  machine.processes_seen_total = processes_ + machine.processes_live;
  machine.held_at_exit_objects_total = all_.live_objects;
  machine.held_at_exit_bytes_total = all_.live_bytes;
  machine.counters = all_;
  machine.counters.live_objects = machine.counters.live_bytes = 0;
  machine.counters.unverified_objects = machine.counters.unverified_bytes = 0;
  for (const ProcessSnapshot& process : snapshot.processes) {
    machine.counters += process;
    machine.rss_bytes += process.rss_bytes;
  }
  snapshot.exited_groups = groups_;
}

}  // namespace tracer::heap
