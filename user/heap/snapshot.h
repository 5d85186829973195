// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "heap/loss.h"
#include "heap/stack.h"

namespace tracer::heap {

/// Index: StackEnd.
using StackEndCounts = std::array<std::uint64_t, kStackEndCount>;

/// Exact totals of one stack since recording began. Bytes are requested bytes.
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
  std::uint64_t mean_age_ns = 0;  ///< mean age of the live blocks; 0 when there are none

  std::uint64_t live_objects() const { return alloc_objects - free_objects; }
  std::uint64_t live_bytes() const { return alloc_bytes - free_bytes; }
  /// Live for certain and older than --older.
  std::uint64_t leak_objects() const { return less(live_objects(), young_objects + unverified_objects); }
  std::uint64_t leak_bytes() const { return less(live_bytes(), young_bytes + unverified_bytes); }

 private:
  static std::uint64_t less(std::uint64_t a, std::uint64_t b) { return a > b ? a - b : 0; }
};

/// One process (one address space) at one moment.
struct ProcessSnapshot {
  std::int32_t pid = 0;
  std::string comm;
  bool exited = false;
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
  std::uint64_t peak_bytes = 0;   ///< highest live_bytes ever, exact, not per snapshot
  std::uint64_t rss_bytes = 0;    ///< 0 when the process is gone
  StackEndCounts stack_ends{};    ///< allocations by the end of their stack
  std::vector<SiteTotals> sites;  ///< every stack of the process, in no order
};

/// Everything a report is made from.
struct Snapshot {
  std::uint64_t seq = 0;   ///< 1 for the first
  std::uint64_t t_ns = 0;  ///< since the trace began (CLOCK_MONOTONIC)
  std::uint64_t unix_us = 0;
  std::vector<ProcessSnapshot> processes;
  LossCounts losses{};  ///< since the trace began
  bool complete() const { return total(losses) == 0; }
};

}  // namespace tracer::heap
