// SPDX-License-Identifier: Apache-2.0
#include "tracing/address_space.h"

#include <algorithm>
#include <utility>

namespace tracer::tracing {

bool is_same_line(const proc::Mapping& a, const proc::Mapping& b) {
  return a.start == b.start && a.end == b.end && a.file_offset == b.file_offset && a.inode == b.inode &&
         a.device_major == b.device_major && a.device_minor == b.device_minor;
}

std::vector<MappedLibrary> AddressSpace::end() {
  ended_ = std::exchange(mapped_, {});
  return ended_;
}

void AddressSpace::set_announcements(std::uint32_t before, std::uint32_t after) {
  announcements_before_ = before;
  announcements_after_ = after;
  for (MappedLibrary& mapped : mapped_) mapped.seen_at = std::min(mapped.seen_at, after);
}

const MappedLibrary* AddressSpace::find(std::uint64_t address) const {
  const std::vector<MappedLibrary>& last = mapped_.empty() ? ended_ : mapped_;
  const auto found = std::ranges::find_if(last, [&](const MappedLibrary& mapped) {
    return address >= mapped.mapping.start && address < mapped.mapping.end;
  });
  return found == last.end() ? nullptr : &*found;
}

const MappedLibrary* AddressSpace::find_exactly(std::uint64_t address, std::uint32_t announcements) const {
  const bool is_of_that_time = announcements_before_ == announcements && announcements_after_ == announcements;
  return is_of_that_time ? find(address) : nullptr;
}

const MappedLibrary* AddressSpace::find_as_of(std::uint64_t address, std::uint32_t announcements) const {
  if (const MappedLibrary* exact = find_exactly(address, announcements)) return exact;
  const MappedLibrary* mapped = find(address);
  return mapped != nullptr && mapped->seen_at <= announcements ? mapped : nullptr;
}

bool AddressSpace::maps(const library::Library& library) const {
  return std::ranges::any_of(mapped_, [&](const MappedLibrary& mapped) { return mapped.library == &library; });
}

}  // namespace tracer::tracing
