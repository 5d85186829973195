// SPDX-License-Identifier: Apache-2.0
#include "tracing/address_space.h"

#include <utility>

namespace tracer::tracing {

bool is_same_line(const proc::Mapping& a, const proc::Mapping& b) {
  return a.start == b.start && a.end == b.end && a.file_offset == b.file_offset && a.inode == b.inode &&
         a.device_major == b.device_major && a.device_minor == b.device_minor;
}

std::vector<MappedLibrary> AddressSpace::end() { return std::exchange(mapped_, {}); }

const MappedLibrary* AddressSpace::find(std::uint64_t address) const {
  const auto found = std::ranges::find_if(mapped_, [&](const MappedLibrary& mapped) {
    return address >= mapped.mapping.start && address < mapped.mapping.end;
  });
  return found == mapped_.end() ? nullptr : &*found;
}

bool AddressSpace::maps(const library::Library& library) const {
  return std::ranges::any_of(mapped_, [&](const MappedLibrary& mapped) { return mapped.library == &library; });
}

}  // namespace tracer::tracing
