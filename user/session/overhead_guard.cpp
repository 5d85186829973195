// SPDX-License-Identifier: Apache-2.0
#include "session/overhead_guard.h"

#include <algorithm>
#include <utility>

namespace tracer::session {
namespace {

// Of one processor: less than that is not worth a thought.
constexpr double kLeastShare = 0.01;
// Sampling levels to try, one after the other. Beyond the second nothing can be saved but the trap itself.
constexpr std::uint32_t kFirstLevel = 1;
constexpr std::uint32_t kLastLevel = 5;

}  // namespace

OverheadGuard::Verdict OverheadGuard::judge(std::uint32_t space, const Reading& reading, std::uint32_t level) {
  const auto [entry, is_new] = known_.try_emplace(space, Known{reading, false});
  if (is_new) return {};
  const Reading last = std::exchange(entry->second.last, reading);
  if (reading.t_ns <= last.t_ns) return {};
  const auto time_ns = static_cast<double>(reading.t_ns - last.t_ns);
  const auto calls = static_cast<double>(reading.calls - last.calls);
  const double lost_ns = calls * (level == 0 ? cost_.exact_ns : cost_.sampled_ns);
  // The kernel counts processor time in ticks; what was lost was used at any rate.
  const double cpu_ns = std::max(static_cast<double>(reading.cpu_ns - last.cpu_ns), lost_ns);
  Verdict verdict;
  verdict.percent = cpu_ns > 0 ? 100 * lost_ns / cpu_ns : 0;
  verdict.calls_per_s = calls * 1e9 / time_ns;
  const bool is_over = verdict.percent > limit_percent_ && lost_ns > kLeastShare * time_ns;
  const bool was_over = std::exchange(entry->second.was_over, is_over);
  if (!is_over || !was_over) return verdict;
  entry->second.was_over = false;
  if (level >= kLastLevel) {
    verdict.step = Step::kMute;
  } else {
    verdict.step = Step::kSample;
    verdict.level = level < kFirstLevel ? kFirstLevel : kLastLevel;
  }
  return verdict;
}

}  // namespace tracer::session
