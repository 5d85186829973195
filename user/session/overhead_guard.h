// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>

namespace tracer::session {

/// What one allocator call costs the program that makes it, in nanoseconds, as measured on this machine.
struct CallCost {
  double exact_ns = 0;    ///< recorded, with its stack
  double sampled_ns = 0;  ///< where only one allocation in many is recorded
};

/// Sees to it that no process loses more of its time to the probes than it was allowed to.
///
/// Knows nothing of processes but numbers: whoever calls reads them, and does what it says. What a process loses is its
/// calls times their cost, as a share of the processor time that it uses; what loses less than a hundredth of a
/// processor is left alone, however little else it does. Used by the session thread.
class OverheadGuard {
 public:
  OverheadGuard(double limit_percent, CallCost cost) : limit_percent_(limit_percent), cost_(cost) {}

  /// Counters of a program at one moment.
  struct Reading {
    std::uint64_t t_ns = 0;
    std::uint64_t calls = 0;   ///< of allocator functions
    std::uint64_t cpu_ns = 0;  ///< processor time
  };
  enum class Step : std::uint8_t {
    kNone,
    kSample,  ///< record fewer allocations: `level` for BpfObject::set_sample_level()
    kMute,    ///< record nothing any more
  };
  struct Verdict {
    Step step = Step::kNone;
    std::uint32_t level = 0;
    double percent = 0;  ///< of its processor time, lost to probes since the reading before
    double calls_per_s = 0;
  };

  /// To be called for each program about once a second. `level`: its sampling level now. It has to be over the limit
  /// twice in a row, so that a burst passes.
  Verdict judge(std::uint32_t space, const Reading& reading, std::uint32_t level);
  void forget(std::uint32_t space) { known_.erase(space); }

 private:
  struct Known {
    Reading last;
    bool was_over = false;
  };

  double limit_percent_;
  CallCost cost_;
  std::map<std::uint32_t, Known> known_;
};

}  // namespace tracer::session
