// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "heap/snapshot.h"
#include "kernel/bpf_object.h"
#include "tracing/mapped_memory.h"
#include "tracing/process_tracker.h"
#include "tracing/stack_resolver.h"

namespace tracer::tracing {

/// When a snapshot is taken.
struct SnapshotMoment {
  std::uint64_t seq = 0;
  std::uint64_t t_ns = 0;    ///< since the trace began
  bool counts_young = true;  ///< false when --older is 0: every live block then counts as old
};

/// What the kernel half knows of one address space.
struct TakenStock {
  heap::ProcessSnapshot process;
  heap::LossCounts losses{};  ///< allocations under stacks that say less than there was to say
};

/// What a snapshot is read from.
struct Books {
  kernel::BpfObject& object;
  const StackResolver& resolver;
  const MappedMemory* mapped = nullptr;  ///< nullptr: mappings are not followed
};

TakenStock take_stock(const Books& books, const TracedProcess& process, bool counts_young);

/// Reads the kernel half's totals into a snapshot. Takes time in proportion to the stacks, whatever the number of live
/// blocks.
///
/// While programs run, the totals of one stack may be an event apart from each other; after recording has ended they
/// are exact.
///
/// `ended`: what was taken stock of before, of processes that the tracker has forgotten.
heap::Snapshot build_snapshot(const Books& books, const ProcessTracker& tracker, const std::vector<TakenStock>& ended,
                              const SnapshotMoment& moment);

}  // namespace tracer::tracing
