// SPDX-License-Identifier: Apache-2.0
#include "tracing/mapped_memory.h"

#include <algorithm>
#include <iterator>

namespace tracer::tracing {
namespace {

constexpr std::uint64_t kPageSize = 4096;

/// The kernel maps whole pages.
std::uint64_t end_of(const tr_memory_event& event) {
  const std::uint64_t pages = event.length / kPageSize + (event.length % kPageSize != 0);
  return event.address + pages * kPageSize;
}

}  // namespace

/// No range goes across `address` any more.
void MappedMemory::split_at(Ranges& ranges, std::uint64_t address) {
  auto next = ranges.lower_bound(address);
  if (next == ranges.begin()) return;
  Range& before = std::prev(next)->second;
  if (before.end <= address) return;
  Range behind = before;
  before.end = address;
  ranges.emplace(address, behind);
}

/// Cuts a part out; the pieces that were in it.
MappedMemory::Ranges MappedMemory::take(Ranges& ranges, std::uint64_t start, std::uint64_t end) {
  Ranges taken;
  if (start >= end) return taken;
  split_at(ranges, start);
  split_at(ranges, end);
  for (auto piece = ranges.lower_bound(start); piece != ranges.end() && piece->first < end;)
    taken.insert(ranges.extract(piece++));
  return taken;
}

void MappedMemory::put(Ranges& ranges, std::uint64_t start, const Range& range) {
  if (start >= range.end) return;
  take(ranges, start, range.end);
  ranges.emplace(start, range);
}

void MappedMemory::apply(const tr_memory_event& event) {
  const std::uint64_t start = event.address;
  const std::uint64_t end = end_of(event);
  if (end < start) return;  // no address space is that large
  Ranges& ranges = spaces_[event.space];
  switch (event.change) {
    case TR_MEMORY_TAKE:
      taken_[{event.space, event.tid}] = {start, take(ranges, start, end)};
      return;
    case TR_MEMORY_SETTLE:
    case TR_MEMORY_RESTORE:
      return settle(event, start, end);
    case TR_MEMORY_MAP:
      return put(ranges, start, {end, event.stack_id, event.flags});
    case TR_MEMORY_PROTECT:
      for (auto& [piece, range] : take(ranges, start, end)) {
        range.flags = (range.flags & ~std::uint32_t{TR_MEMORY_ACCESSIBLE}) | event.flags;
        ranges.emplace(piece, range);
      }
      return;
    default:
      return;
  }
}

/// A system call that has taken memory away is over.
void MappedMemory::settle(const tr_memory_event& event, std::uint64_t start, std::uint64_t end) {
  const auto found = taken_.find({event.space, event.tid});
  if (found == taken_.end()) return;
  const Taken taken = std::move(found->second);
  taken_.erase(found);
  Ranges& ranges = spaces_[event.space];
  if (event.change == TR_MEMORY_RESTORE) {
    for (const auto& [piece, range] : taken.ranges) put(ranges, piece, range);
    return;
  }
  if (start == end) return;
  // Moved, and perhaps resized: the pieces keep their places in it, and what was added belongs to the last one.
  std::uint64_t last_end = start;
  Range last;
  for (const auto& [piece, range] : taken.ranges) {
    Range moved = range;
    moved.end = std::min(start + (range.end - taken.start), end);
    put(ranges, start + (piece - taken.start), moved);
    last_end = moved.end;
    last = moved;
  }
  if (taken.ranges.empty() || last_end >= end) return;
  last.end = end;
  put(ranges, last_end, last);
}

MappedMemory::Totals MappedMemory::totals(std::uint32_t space) const {
  Totals totals;
  const auto found = spaces_.find(space);
  if (found == spaces_.end()) return totals;
  for (const auto& [start, range] : found->second) {
    if ((range.flags & TR_MEMORY_ACCESSIBLE) == 0) continue;
    const std::uint64_t bytes = range.end - start;
    if ((range.flags & TR_MEMORY_BY_ALLOCATOR) != 0) {
      totals.allocator_bytes += bytes;
      continue;
    }
    totals.program_bytes += bytes;
    totals.program_bytes_by_stack[range.stack_id] += bytes;
  }
  return totals;
}

void MappedMemory::forget(std::uint32_t space) {
  spaces_.erase(space);
  std::erase_if(taken_, [space](const auto& entry) { return entry.first.first == space; });
}

}  // namespace tracer::tracing
