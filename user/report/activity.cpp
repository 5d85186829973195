// SPDX-License-Identifier: Apache-2.0
#include "report/activity.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

namespace tracer::report {
namespace {

/// Grows with everything that the allocator was called for.
std::uint64_t calls_of(const heap::HeapCounters& counters) {
  return counters.alloc_objects_total + counters.free_objects_total + counters.free_unknown_total +
         counters.failed_objects_total;
}

std::set<heap::HeapIdentity> holding_most(const heap::Snapshot& snapshot, unsigned top) {
  std::vector<const heap::ProcessSnapshot*> holders;
  for (const heap::ProcessSnapshot& process : snapshot.processes) {
    if (process.live_bytes > 0) holders.push_back(&process);
  }
  if (top != 0 && holders.size() > top) {
    const auto order = [](const heap::ProcessSnapshot* process) {
      return std::tuple(~process->live_bytes, process->identity());
    };
    std::ranges::nth_element(holders, holders.begin() + top, {}, order);
    holders.resize(top);
  }
  std::set<heap::HeapIdentity> found;
  for (const heap::ProcessSnapshot* process : holders) found.insert(process->identity());
  return found;
}

}  // namespace

std::vector<const heap::ProcessSnapshot*> Activity::choose(const heap::Snapshot& snapshot) {
  const std::set<heap::HeapIdentity> most = holding_most(snapshot, top_);
  const std::map<heap::HeapIdentity, std::uint64_t> before = std::exchange(calls_, {});
  std::vector<const heap::ProcessSnapshot*> chosen;
  for (const heap::ProcessSnapshot& process : snapshot.processes) {
    const heap::HeapIdentity identity = process.identity();
    const auto known = before.find(identity);
    const std::uint64_t calls = calls_of(process);
    if (most.contains(identity) || calls != (known == before.end() ? 0 : known->second)) chosen.push_back(&process);
    calls_.emplace(identity, calls);
  }
  return chosen;
}

}  // namespace tracer::report
