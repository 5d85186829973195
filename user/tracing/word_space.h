// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>

namespace tracer::tracing {

/// Which parts of an array are free: the first that is large enough is given out.
class WordSpace {
 public:
  explicit WordSpace(std::uint32_t size);

  /// Where `count` words in a row are free, now taken; nothing when there are none.
  std::optional<std::uint32_t> take(std::uint32_t count);
  /// Gives back what take() gave out.
  void give_back(std::uint32_t first, std::uint32_t count);

  std::uint32_t size() const { return size_; }
  std::uint32_t used() const { return used_; }

 private:
  std::uint32_t size_;
  std::uint32_t used_ = 0;
  std::map<std::uint32_t, std::uint32_t> free_;  ///< first word → how many, no two of them adjacent
};

}  // namespace tracer::tracing
