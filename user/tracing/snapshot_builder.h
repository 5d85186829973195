// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "heap/snapshot.h"
#include "kernel/bpf_object.h"
#include "tracing/process_tracker.h"
#include "tracing/stack_resolver.h"

namespace tracer::tracing {

/// When a snapshot is taken.
struct SnapshotMoment {
  std::uint64_t seq = 0;
  std::uint64_t t_ns = 0;    ///< since the trace began
  bool counts_young = true;  ///< false when --older is 0: every live block then counts as old
};

/// Reads the kernel half's totals into a snapshot. Takes time in proportion to the stacks, whatever the number of live
/// blocks.
///
/// While programs run, the totals of one stack may be an event apart from each other; after recording has ended they
/// are exact.
heap::Snapshot build_snapshot(kernel::BpfObject& object, const ProcessTracker& tracker, const StackResolver& resolver,
                              const SnapshotMoment& moment);

}  // namespace tracer::tracing
