// SPDX-License-Identifier: Apache-2.0
#include "kernel/map_view.h"

#include <sys/mman.h>

#include <cerrno>
#include <utility>

namespace tracer::kernel {

Result<MapMemory> MapMemory::map(int map_fd, std::size_t size_bytes, const std::string& name) {
  void* memory = ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
  if (memory == MAP_FAILED) return Error::from_errno(errno, "cannot map the BPF map '" + name + "'");
  MapMemory view;
  view.memory_ = memory;
  view.size_bytes_ = size_bytes;
  return view;
}

MapMemory::MapMemory(MapMemory&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)), size_bytes_(std::exchange(other.size_bytes_, 0)) {}

MapMemory& MapMemory::operator=(MapMemory&& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

MapMemory::~MapMemory() {
  if (memory_ != nullptr) ::munmap(memory_, size_bytes_);
}

}  // namespace tracer::kernel
