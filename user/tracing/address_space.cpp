// SPDX-License-Identifier: Apache-2.0
#include "tracing/address_space.h"

namespace tracer::tracing {

bool is_same_line(const proc::Mapping& a, const proc::Mapping& b) {
  return a.start == b.start && a.end == b.end && a.file_offset == b.file_offset && a.inode == b.inode &&
         a.device_major == b.device_major && a.device_minor == b.device_minor && a.path == b.path;
}

void AddressSpace::add(const proc::Mapping& mapping, library::Library* library, std::uint32_t epoch) {
  ranges_.push_back({mapping, library, epoch, true});
}

std::vector<ExecutableRange> AddressSpace::end(std::uint32_t epoch) {
  std::vector<ExecutableRange> ended;
  for (ExecutableRange& range : ranges_) {
    if (!range.live) continue;
    // There is no list to read any more; what stood at the last reading is the best there is for the last stacks.
    range.live = false;
    range.last_epoch = epoch;
    ended.push_back(range);
  }
  return ended;
}

AddressSpace AddressSpace::forked() const {
  AddressSpace child;
  for (const ExecutableRange& range : ranges_) {
    if (range.live) child.add(range.mapping, range.library, 0);
  }
  return child;
}

std::optional<ResolvedAddress> AddressSpace::resolve(std::uint64_t address, std::uint32_t epoch) const {
  // Of the ranges that still stood in that epoch or later, the first that was there: ranges_ is in the order of time.
  for (const ExecutableRange& range : ranges_) {
    if (address < range.mapping.start || address >= range.mapping.end || range.last_epoch < epoch) continue;
    if (range.library == nullptr) return ResolvedAddress{nullptr, address};
    const std::uint64_t offset = address - range.mapping.start + range.mapping.file_offset;
    std::optional<std::uint64_t> vaddr;
    if (range.library->image()) vaddr = range.library->image()->address_of_offset(offset);
    return ResolvedAddress{range.library, vaddr.value_or(offset)};
  }
  return std::nullopt;
}

}  // namespace tracer::tracing
