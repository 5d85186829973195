// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "heap/snapshot.h"

namespace tracer::report {

/// Chooses the processes of the whole machine that a snapshot says something about. One thread uses it.
class Activity {
 public:
  /// `top`: how many of those that hold most are always among them; 0: all that hold anything.
  explicit Activity(unsigned top) : top_(top) {}

  /// Those that have allocated or freed since they were last chosen, and the `top` that hold most; in the order of the
  /// snapshot, into which they point.
  std::vector<const heap::ProcessSnapshot*> choose(const heap::Snapshot& snapshot);

 private:
  unsigned top_;
  std::map<heap::HeapIdentity, std::uint64_t> calls_;  ///< of the processes of the last snapshot, when last chosen
};

}  // namespace tracer::report
