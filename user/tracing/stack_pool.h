// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <unordered_map>

#include "heap/stack.h"

namespace tracer::tracing {

/// Resolved stacks, each meaning once, under ids from 1 that are not used again in a run.
///
/// A stack has users: the stored stacks of address spaces that mean it. One that has lost all of them is kept, because
/// programs come back, until so many of these have gathered that the older half of them is dropped. Pure: reads
/// nothing.
class StackPool {
 public:
  explicit StackPool(std::size_t most_unused) : most_unused_(most_unused) {}

  struct Added {
    heap::StackId id = 0;
    bool is_new = false;
  };
  /// Adds a user to the stack that means this, which is a new one if there is none. The id in `stack` does not matter.
  Added add(heap::Stack stack);

  /// Takes a user away.
  void release(heap::StackId id);

  /// nullptr for an id that was not given out, or whose stack was dropped. Stays valid as long as it has users.
  heap::Stack* find(heap::StackId id) const;

  /// Ids that have been given out: the last one.
  heap::StackId last() const { return static_cast<heap::StackId>(stacks_.size()); }

 private:
  struct Known {
    heap::Stack stack;
    std::size_t users = 0;
  };
  void drop_unused();

  std::size_t most_unused_;
  std::size_t unused_ = 0;
  std::deque<std::unique_ptr<Known>> stacks_;                         ///< index: id - 1; nullptr: dropped
  std::unordered_multimap<std::uint64_t, heap::StackId> by_meaning_;  ///< hash of pid, end and frames → id
};

}  // namespace tracer::tracing
