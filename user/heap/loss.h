// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace tracer::heap {

/// Why an event could not be counted, or could not be attributed. The order is that of `tr_loss` in bpf/abi.
enum class Loss : std::uint8_t {
  kBlocksFull,      ///< the table of live blocks is full: allocation not counted
  kStacksFull,      ///< the stack store is full: counted, but under no stack
  kStackCollision,  ///< several different stacks share a hash: counted, but under no stack
  kThreadState,     ///< the kernel gave no memory for a thread's state: call not counted
  kCallAbandoned,   ///< a call was entered and never returned (longjmp, signal): not counted
  kReadFault,       ///< an argument or a result in the target's memory could not be read: call not counted
  kFreeMissed,      ///< an address was handed out while still live in our books: its free was never seen
  kSpacesFull,      ///< no room for a further process
  kEventsFull,      ///< the ring of library and process events was full
  kMappingBusy,     ///< another thread was changing the mappings: counted, but under a stack that is cut short
  kModulesFull,     ///< the table of files is full: counted, but under a stack with nameless addresses
  kLibraryMissed,   ///< a library had gone before its file could be read: counted, but its functions have no names
  kMappingsFull,    ///< the ring of memory events was full: what is mapped by whom is not known any more
  kAnomaliesFull,   ///< the table of misuses is full: some were not told
};
inline constexpr std::size_t kLossCount = 14;

/// `snake_case` name used in every report ("map_full_blocks" …) and the flag or cause that helps.
const char* loss_name(Loss loss);
const char* loss_hint(Loss loss);

using LossCounts = std::array<std::uint64_t, kLossCount>;
std::uint64_t total(const LossCounts& losses);

}  // namespace tracer::heap
