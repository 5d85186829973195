// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernel/bpf_object.h"

namespace tracer::tracing {

/// Goes on with the walk of a stack that the kernel half had to end since a table was missing, on the copy that it has
/// made of the stack. Leaves frames as the kernel half does, with the same code (bpf/abi/leave.h).
class LateWalk {
 public:
  /// Begins at the frame that could not be left.
  explicit LateWalk(const kernel::RawStack& raw) : walk(raw.head.walk), raw_(raw) {}

  /// Goes to the caller: enum tr_stack_end, or nothing when the walk goes on. `depth`: frames so far.
  int leave(const tr_rule& rule, std::uint32_t depth);
  static bool goes_on(int end);

  bool is_exact() const { return (walk.flags & TR_FRAME_EXACT) != 0; }
  bool is_by_frame_pointer() const { return (walk.flags & TR_FRAME_BY_FP) != 0; }
  std::uint64_t pc() const { return walk.pc; }

  /// A word of the copy; false outside of it.
  bool read(std::uint64_t address, __u64* word) const;

  tr_walk walk;

 private:
  const kernel::RawStack& raw_;
};

}  // namespace tracer::tracing
