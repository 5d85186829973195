// SPDX-License-Identifier: Apache-2.0
#include "heap/snapshot.h"

#include <numeric>

namespace tracer::heap {
namespace {

struct LossText {
  const char* name;
  const char* hint;
};

constexpr std::array<LossText, kLossCount> kLossTexts{{
    {"blocks_full", "more live blocks than the table holds: raise --max-memory"},
    {"stacks_full", "more distinct stacks than the store holds: raise --max-memory or lower --max-stack"},
    {"stack_collision", "several stacks share one hash; their bytes are counted under no stack"},
    {"thread_state", "the kernel had no memory for a thread's state"},
    {"call_abandoned", "an allocator call was left by longjmp or a signal handler and never returned"},
    {"read_fault", "an argument or result in the program's memory could not be read"},
    {"free_missed", "a block was freed where no probe sits, for example by a custom allocator"},
    {"spaces_full", "more processes than the table holds: raise --max-memory"},
    {"events_full", "library and process events came faster than they could be read"},
    {"mapping_busy", "stacks were cut short because another thread was mapping or unmapping at that moment"},
    {"modules_full", "more files than the table of files holds: their frames have no names"},
    {"library_missed", "a library was unloaded and replaced before it could be read: its functions have no names"},
    {"mappings_full", "memory was mapped faster than the tracer could read: mapped bytes are not right any more"},
    {"anomalies_full", "more different misuses than the table holds: the first of them say enough"},
}};

}  // namespace

const char* loss_name(Loss loss) { return kLossTexts[static_cast<std::size_t>(loss)].name; }
const char* loss_hint(Loss loss) { return kLossTexts[static_cast<std::size_t>(loss)].hint; }

HeapCounters& HeapCounters::operator+=(const HeapCounters& other) {
  alloc_objects_total += other.alloc_objects_total;
  alloc_bytes_total += other.alloc_bytes_total;
  free_objects_total += other.free_objects_total;
  free_bytes_total += other.free_bytes_total;
  free_unknown_total += other.free_unknown_total;
  failed_objects_total += other.failed_objects_total;
  live_objects += other.live_objects;
  live_bytes += other.live_bytes;
  unverified_objects += other.unverified_objects;
  unverified_bytes += other.unverified_bytes;
  live_variance += other.live_variance;
  peak_bytes += other.peak_bytes;
  estimated = estimated || other.estimated;
  for (std::size_t i = 0; i < kStackEndCount; ++i) stack_ends[i] += other.stack_ends[i];
  return *this;
}

std::uint64_t total(const LossCounts& losses) {
  return std::accumulate(losses.begin(), losses.end(), std::uint64_t{0});
}

}  // namespace tracer::heap
