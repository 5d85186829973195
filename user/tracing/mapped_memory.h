// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bpf/abi/memory.h"

namespace tracer::tracing {

/// Which anonymous memory is mapped by whom, in each traced address space: --events mmap.
///
/// Only what was mapped since recording began is known. Memory that is not accessible (PROT_NONE, an address range that
/// is reserved) counts when it becomes so. Used by the session thread.
class MappedMemory {
 public:
  /// Accessible bytes, by who has mapped them.
  struct Totals {
    std::uint64_t program_bytes = 0;                                ///< the program itself, not an allocator
    std::uint64_t allocator_bytes = 0;                              ///< probed allocator functions
    std::map<std::uint32_t, std::uint64_t> program_bytes_by_stack;  ///< by id in the stack store
  };

  void apply(const tr_memory_event& event);
  Totals totals(std::uint32_t space) const;
  /// The address space has ended, and its number may be used again.
  void forget(std::uint32_t space);

 private:
  struct Range {
    std::uint64_t end = 0;
    std::uint32_t stack_id = 0;
    std::uint32_t flags = 0;
  };
  using Ranges = std::map<std::uint64_t, Range>;  ///< by start; disjoint
  /// What a system call in progress has taken away.
  struct Taken {
    std::uint64_t start = 0;
    Ranges ranges;
  };
  using Thread = std::pair<std::uint32_t, std::uint32_t>;  ///< space, thread

  static void split_at(Ranges& ranges, std::uint64_t address);
  static Ranges take(Ranges& ranges, std::uint64_t start, std::uint64_t end);
  static void put(Ranges& ranges, std::uint64_t start, const Range& range);
  void settle(const tr_memory_event& event, std::uint64_t start, std::uint64_t end);

  std::unordered_map<std::uint32_t, Ranges> spaces_;
  std::map<Thread, Taken> taken_;
};

}  // namespace tracer::tracing
