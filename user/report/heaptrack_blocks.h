// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/result.h"
#include "report/profile.h"

namespace tracer::report {

/// Some blocks and what they hold together.
struct Blocks {
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
};

/// Blocks of one size and one stack.
struct BlockRun {
  std::size_t info;  ///< number of the size and the stack in the file
  std::uint64_t size_bytes;
  std::uint64_t count;
};

/// heaptrack's file has a line per block. How many blocks must share one so that their number stays bearable: 1 nearly
/// always, and else said on standard error, since the count of calls is then too low.
std::uint64_t blocks_per_line(const Profile& profile);

/// Splits blocks, of which only the sum is known, into at most two sizes that differ by a byte and add up to it.
/// `factor` blocks become one.
std::vector<Blocks> even_sizes(Blocks blocks, std::uint64_t factor);

/// Takes as many blocks out of `runs` as fit into `room_bytes`, whichever come first.
std::vector<BlockRun> take_fitting(std::vector<BlockRun>& runs, std::uint64_t room_bytes);

/// Splits what was allocated and freed into batches that hold no more than `most_bytes` each, but one block at least;
/// calls `take` with each until it fails.
Result<void> for_each_batch(const std::vector<BlockRun>& runs, std::uint64_t most_bytes,
                            const std::function<Result<void>(const std::vector<BlockRun>&)>& take);

}  // namespace tracer::report
