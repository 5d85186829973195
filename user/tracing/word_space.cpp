// SPDX-License-Identifier: Apache-2.0
#include "tracing/word_space.h"

#include <algorithm>
#include <iterator>

#include "base/result.h"

namespace tracer::tracing {

WordSpace::WordSpace(std::uint32_t size) : size_(size) {
  if (size != 0) free_[0] = size;
}

std::optional<std::uint32_t> WordSpace::take(std::uint32_t count) {
  const auto found = std::ranges::find_if(free_, [&](const auto& range) { return range.second >= count; });
  if (found == free_.end() || count == 0) return std::nullopt;
  const auto [first, free] = *found;
  free_.erase(found);
  if (free > count) free_[first + count] = free - count;
  used_ += count;
  return first;
}

void WordSpace::give_back(std::uint32_t first, std::uint32_t count) {
  TRACER_CHECK(count <= used_ && first + count <= size_);
  used_ -= count;
  const auto next = free_.lower_bound(first);
  if (next != free_.end() && next->first == first + count) {
    count += next->second;
    free_.erase(next);
  }
  const auto behind = free_.lower_bound(first);
  if (behind != free_.begin()) {
    const auto before = std::prev(behind);
    if (before->first + before->second == first) {
      before->second += count;
      return;
    }
  }
  free_[first] = count;
}

}  // namespace tracer::tracing
