// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/result.h"

namespace tracer::kernel {

/// The memory of a BPF array map (BPF_F_MMAPABLE), shared with the programs that write it: reading needs no system
/// call.
///
/// Programs write while user space reads; each 8-byte word is whole, two words may belong to different moments.
class MapMemory {
 public:
  MapMemory() = default;
  static Result<MapMemory> map(int map_fd, std::size_t size_bytes, const std::string& name);
  MapMemory(MapMemory&& other) noexcept;
  MapMemory& operator=(MapMemory&& other) noexcept;
  MapMemory(const MapMemory&) = delete;
  MapMemory& operator=(const MapMemory&) = delete;
  ~MapMemory();

  /// The map's elements; the map's value size must be a multiple of 8 and of that of T.
  template <typename T>
  std::span<T> elements() const {
    return {static_cast<T*>(memory_), size_bytes_ / sizeof(T)};
  }

 private:
  void* memory_ = nullptr;
  std::size_t size_bytes_ = 0;
};

}  // namespace tracer::kernel
