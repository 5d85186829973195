// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "heap/loss.h"
#include "heap/stack.h"
#include "heap/trend.h"

namespace tracer::heap {

/// Index: StackEnd.
using StackEndCounts = std::array<std::uint64_t, kStackEndCount>;

/// Totals of one stack since recording began. Bytes are requested bytes. Estimates, if its process has `estimated`.
struct SiteTotals {
  StackId stack_id = 0;
  std::uint64_t alloc_objects = 0;
  std::uint64_t alloc_bytes = 0;
  std::uint64_t free_objects = 0;
  std::uint64_t free_bytes = 0;
  std::uint64_t young_objects = 0;  ///< of the live ones, those not yet older than --older
  std::uint64_t young_bytes = 0;
  std::uint64_t unverified_objects = 0;  ///< of the live ones, those of before a pause, which may have been freed in it
  std::uint64_t unverified_bytes = 0;
  std::uint64_t mean_age_ns = 0;    ///< mean age of the live blocks; 0 when there are none
  double live_variance = 0;         ///< square of the standard error of live_bytes(), in square bytes; 0: exact
  std::uint64_t mapped_bytes = 0;   ///< accessible memory that is mapped from here, not for an allocator
  std::uint64_t touched_bytes = 0;  ///< pages that were touched for the first time from here
  Trend trend;                      ///< of the live bytes; see SiteHistories

  std::uint64_t live_objects() const { return alloc_objects - free_objects; }
  std::uint64_t live_bytes() const { return alloc_bytes - free_bytes; }
  /// Live for certain and older than --older. Nothing is known of blocks that were not sampled.
  std::uint64_t leak_objects() const { return less(live_objects(), young_objects + unverified_objects); }
  std::uint64_t leak_bytes() const { return less(live_bytes(), young_bytes + unverified_bytes); }

 private:
  static std::uint64_t less(std::uint64_t a, std::uint64_t b) { return a > b ? a - b : 0; }
};

/// What is counted of a heap, or of several: the members named `_total` since recording began, the others now.
struct HeapCounters {
  std::uint64_t alloc_objects_total = 0;
  std::uint64_t alloc_bytes_total = 0;
  std::uint64_t free_objects_total = 0;
  std::uint64_t free_bytes_total = 0;
  std::uint64_t free_unknown_total = 0;    ///< frees of blocks whose allocation was not seen
  std::uint64_t failed_objects_total = 0;  ///< calls that returned no memory
  std::uint64_t live_objects = 0;
  std::uint64_t live_bytes = 0;
  std::uint64_t unverified_objects = 0;  ///< of the live ones, see SiteTotals
  std::uint64_t unverified_bytes = 0;
  double live_variance = 0;      ///< see SiteTotals
  std::uint64_t peak_bytes = 0;  ///< highest live_bytes ever, not per snapshot; of several heaps added up
  StackEndCounts stack_ends{};   ///< allocations by the end of their stack
  bool estimated = false;        ///< blocks and bytes are estimated from a sample, and free_unknown_total says nothing

  HeapCounters& operator+=(const HeapCounters& other);
};

/// What tells one heap of a run from all others. A pid is used again, and an exec puts another program's heap into the
/// same process.
struct HeapIdentity {
  std::int32_t pid = 0;
  std::uint64_t start_ns = 0;
  std::uint32_t execs = 0;

  auto operator<=>(const HeapIdentity&) const = default;
};

/// Accessible anonymous memory that was mapped since recording began and is mapped still.
struct MappedTotals {
  std::uint64_t program_bytes = 0;    ///< by the program itself
  std::uint64_t allocator_bytes = 0;  ///< by probed allocator functions, to hand it out
};

/// How a block was allocated and is to be freed. The order is that of `tr_kind` in bpf/abi.
enum class BlockKind : std::uint8_t { kC, kNew, kNewArray, kAny };

/// Blocks given back as they must not be, from the same places: --events misuse. Stack ids; 0: not known.
struct Anomaly {
  enum class Type : std::uint8_t { kMismatch, kDoubleFree, kInside } type = Type::kMismatch;
  StackId stack_id = 0;                  ///< where it was freed
  StackId alloc_stack_id = 0;            ///< … and allocated
  StackId first_free_stack_id = 0;       ///< kDoubleFree: … and freed before
  BlockKind alloc_kind = BlockKind::kC;  ///< kMismatch
  BlockKind free_kind = BlockKind::kC;
  std::uint64_t count = 0;
  std::uint64_t address = 0;       ///< that was given, the first time
  std::uint64_t size_bytes = 0;    ///< of the block
  std::uint64_t offset_bytes = 0;  ///< kInside: of the address in the block
};

/// One process (one address space) at one moment.
struct ProcessSnapshot : HeapCounters {
  std::int32_t pid = 0;        ///< as tracer's pid namespace counts
  std::int32_t ns_pid = 0;     ///< as the process's own counts; 0: the same
  std::uint64_t start_ns = 0;  ///< when it was started, by CLOCK_BOOTTIME; 0: not known
  std::uint32_t execs = 0;     ///< programs that it has left by exec since it was first seen
  std::optional<uid_t> uid;    ///< real user id, as the initial user namespace counts
  std::string comm;
  std::string user;       ///< name of `uid`
  std::string exe;        ///< path of the program; empty when not known, like the following
  std::string cgroup;     ///< path in the cgroup2 hierarchy
  std::string container;  ///< id or name; empty outside of containers too
  bool exited = false;
  std::uint64_t rss_bytes = 0;                 ///< 0 when the process is gone
  std::optional<MappedTotals> mapped;          ///< --events mmap
  std::optional<std::uint64_t> touched_bytes;  ///< --events fault: pages touched for the first time, in all
  std::vector<Anomaly> anomalies;              ///< --events misuse: so far, in the order of their stacks
  std::vector<SiteTotals> sites;               ///< every stack of the process, in no order

  HeapIdentity identity() const { return {pid, start_ns, execs}; }
  /// A program that has ended and has run nothing of interest, such as a shell's child before its exec.
  bool is_idle() const {
    const bool maps = mapped && mapped->program_bytes + mapped->allocator_bytes != 0;
    return exited && alloc_objects_total == 0 && free_unknown_total == 0 && failed_objects_total == 0 && !maps;
  }
};

/// What the heaps that have ended counted, of one group of --by: their processes are not in the snapshot any more.
struct ExitedGroup {
  std::uint64_t processes = 0;
  HeapCounters counters;  ///< `live`: what they held when they ended
};

/// The whole machine: every heap that was seen, ended or not. An exec ends one and begins another, and both count here
/// as processes.
struct MachineTotals {
  std::uint64_t processes_seen_total = 0;
  std::uint64_t processes_exited_total = 0;
  std::uint64_t processes_live = 0;
  HeapCounters counters;                         ///< of all; `live` and `unverified` only of those that have not ended
  std::uint64_t held_at_exit_objects_total = 0;  ///< neither freed nor live: what the others held when they ended
  std::uint64_t held_at_exit_bytes_total = 0;
  std::uint64_t rss_bytes = 0;  ///< added up: a page that several share counts for each
};

/// Everything a report is made from.
struct Snapshot {
  std::uint64_t seq = 0;   ///< 1 for the first
  std::uint64_t t_ns = 0;  ///< since the trace began (CLOCK_MONOTONIC)
  std::uint64_t unix_us = 0;
  /// With `machine` only those that have not ended: the others have been reported and are in `exited_groups`.
  std::vector<ProcessSnapshot> processes;
  LossCounts losses{};                               ///< since the trace began
  std::optional<MachineTotals> machine;              ///< runs of the whole machine have it
  std::map<std::string, ExitedGroup> exited_groups;  ///< by group_key(); none by process. See ExitedBooks
  bool complete() const { return total(losses) == 0; }
};

}  // namespace tracer::heap
