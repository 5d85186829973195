// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "heap/snapshot.h"

namespace tracer::heap {

/// What a report of many processes adds up.
enum class GroupBy { kProcess, kExe, kContainer, kUser };

/// As --by has it.
const char* group_by_name(GroupBy by);
std::optional<GroupBy> group_by_named(std::string_view name);

/// The group of a process: by process its identity, else what --by names; empty when that is not known, or for
/// processes outside of containers.
std::string group_key(const ProcessSnapshot& process, GroupBy by);

/// How fast a group changes. Growth may be negative.
struct GroupRates {
  double growth_bytes_per_s = 0;
  double alloc_objects_per_s = 0;
};

/// Processes added up.
struct Group {
  std::string key;                              ///< see group_key()
  std::vector<const ProcessSnapshot*> members;  ///< that have not ended, most live bytes first; point into the snapshot
  std::uint64_t exited = 0;                     ///< those that have ended
  bool estimated = false;                       ///< of one member at least
  std::uint64_t live_objects = 0;
  std::uint64_t live_bytes = 0;
  std::uint64_t alloc_objects_total = 0;  ///< ended ones included
  std::uint64_t alloc_bytes_total = 0;
  std::uint64_t rss_bytes = 0;  ///< shared pages count for each member
  std::optional<GroupRates> rates;
};

/// The groups of a snapshot, most live bytes first, and how fast they change since the snapshot before.
///
/// A process is known by its identity, so that what a group gains by a process that joins it is told apart from what
/// it allocates, and a pid that is used again is another process. Used by one thread; remembers one snapshot.
class RateTracker {
 public:
  explicit RateTracker(GroupBy by) : by_(by) {}

  /// Rates are missing in the first snapshot, and where no time has passed. The groups live as long as the snapshot.
  std::vector<Group> update(const Snapshot& snapshot);

 private:
  struct Known {
    std::string key;
    std::uint64_t live_bytes = 0;
    std::uint64_t alloc_objects = 0;
  };

  GroupBy by_;
  bool is_first_ = true;
  std::uint64_t t_ns_ = 0;
  std::map<HeapIdentity, Known> processes_;
  std::map<std::string, Known> exited_;  ///< by key; `live_bytes` is not used
};

/// The groups of a snapshot with their mean rates over `duration_ns`, from nothing on.
std::vector<Group> group_with_means(const Snapshot& snapshot, GroupBy by, std::uint64_t duration_ns);

/// Keeps the counts of heaps that have ended, by group: what a snapshot of the living does not hold any more.
///
/// By process there are no groups, and of the other kinds no more than some thousands: what ends in a group beyond
/// these is in the totals of the machine only. Used by one thread.
class ExitedBooks {
 public:
  explicit ExitedBooks(GroupBy by) : by_(by) {}

  /// `process` has ended, with its last counts.
  void add(const ProcessSnapshot& process);

  /// Fills `machine` and `exited_groups` of a snapshot whose `processes` are those that have not ended.
  void complete(Snapshot& snapshot) const;

 private:
  GroupBy by_;
  std::uint64_t processes_ = 0;
  HeapCounters all_;
  std::map<std::string, ExitedGroup> groups_;
};

}  // namespace tracer::heap
