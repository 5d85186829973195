// SPDX-License-Identifier: Apache-2.0
#include "report/heaptrack_blocks.h"

#include <algorithm>

#include "base/log.h"

namespace tracer::report {
namespace {

// About 500 MB of lines, which compress to next to nothing.
constexpr double kMostLines = 1e8;

}  // namespace

std::uint64_t blocks_per_line(const Profile& profile) {
  double lines = 0;  // as a whole number it could be too large for its type
  for (const Sample& sample : profile.samples())
    lines += static_cast<double>(sample.totals.alloc_objects) + static_cast<double>(sample.totals.free_objects);
  const auto factor = static_cast<std::uint64_t>(lines / kMostLines) + 1;
  if (factor > 1)
    log::info("heaptrack: the format takes a line per block, too many here: {} blocks each are written as one", factor);
  return factor;
}

std::vector<Blocks> even_sizes(Blocks blocks, std::uint64_t factor) {
  if (blocks.count == 0 && blocks.bytes == 0) return {};
  const std::uint64_t count = std::max<std::uint64_t>(blocks.count / factor, 1);
  const std::uint64_t larger = blocks.bytes % count;
  const std::uint64_t size = blocks.bytes / count;
  std::vector<Blocks> parts;
  if (larger != 0) parts.push_back({larger, larger * (size + 1)});
  parts.push_back({count - larger, (count - larger) * size});
  return parts;
}

std::vector<BlockRun> take_fitting(std::vector<BlockRun>& runs, std::uint64_t room_bytes) {
  std::vector<BlockRun> taken;
  for (BlockRun& run : runs) {
    const std::uint64_t count = run.size_bytes == 0 ? 0 : std::min(run.count, room_bytes / run.size_bytes);
    if (count == 0) continue;
    taken.push_back({run.info, run.size_bytes, count});
    run.count -= count;
    room_bytes -= count * run.size_bytes;
  }
  return taken;
}

Result<void> for_each_batch(const std::vector<BlockRun>& runs, std::uint64_t most_bytes,
                            const std::function<Result<void>(const std::vector<BlockRun>&)>& take) {
  std::vector<BlockRun> batch;
  std::uint64_t room = most_bytes;
  for (BlockRun run : runs) {
    while (run.count != 0) {
      const std::uint64_t fitting = run.size_bytes == 0 ? run.count : std::min(run.count, room / run.size_bytes);
      if (fitting == 0 && !batch.empty()) {
        if (Result<void> done = take(batch); !done) return done;
        batch.clear();
        room = most_bytes;
        continue;
      }
      const std::uint64_t taken = std::max<std::uint64_t>(fitting, 1);
      batch.push_back({run.info, run.size_bytes, taken});
      room -= std::min(room, taken * run.size_bytes);
      run.count -= taken;
    }
  }
  return batch.empty() ? Result<void>() : take(batch);
}

}  // namespace tracer::report
