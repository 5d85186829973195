// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "tests/bpf_host/harness.h"

namespace tracer::bpf_host {

/// What the books should say, in the plainest terms: a map of live blocks and sums that are kept beside it.
///
/// Knows nothing of probes, threads in flight or stack pointers; whoever drives the programs tells it what has
/// happened.
class Model {
 public:
  struct StackKey {
    std::uint32_t space = 0;
    std::size_t callers = 0;  ///< which of the test's chains of callers

    auto operator<=>(const StackKey&) const = default;
  };
  struct Block {
    std::uint64_t size = 0;
    StackKey stack;
    std::uint64_t tick = 0;
    std::uint32_t generation = 0;
  };
  struct Space {
    std::uint64_t live = 0;
    std::uint64_t peak = 0;
    std::uint64_t unknown = 0;
    std::uint64_t failed = 0;
  };
  using Address = std::pair<std::uint32_t, std::uint64_t>;  ///< space, address

  std::size_t capacity = 0;
  std::uint64_t min_size = 0;
  std::uint64_t max_size = 0;
  std::map<Address, Block> blocks;
  std::map<StackKey, Totals> stacks;
  std::map<std::uint32_t, Space> spaces;
  std::uint64_t blocks_full = 0;
  std::uint64_t free_missed = 0;

  /// An allocation succeeded; `old` is the block that a realloc had taken out.
  void allocated(std::uint64_t address, Block block, const std::optional<Block>& old);
  /// free(): known or not.
  void freed(const Address& address);
  /// realloc has begun: the block leaves the map, and the sums know it still.
  std::optional<Block> take(const Address& address);
  /// The block of a realloc that failed or was abandoned.
  void put_back(const Address& address, const Block& block);
  /// A block that was taken out is freed.
  void settle_free(const Block& block);
  std::pair<std::uint64_t, std::uint64_t> young(std::uint32_t generation) const;
  Totals totals(std::uint32_t space) const;

 private:
  void book_alloc(const Block& block);
  void book_free(const Block& block);
  void change_live(std::uint32_t space, std::int64_t delta);

  std::map<std::uint32_t, std::pair<std::uint64_t, std::uint64_t>> by_generation_;
};

}  // namespace tracer::bpf_host
