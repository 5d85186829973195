// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace tracer::symbols {

/// Half-open address ranges with a value each; they may overlap and nest. Filled first, then asked.
///
///     add([10,90) f)  add([20,30) label)  seal()
///     visit(25): label, f        visit(40): f        visit(95): nothing
template <typename Value>
class IntervalIndex {
 public:
  /// Ranges that are empty or turned around are ignored.
  void add(std::uint64_t begin, std::uint64_t end, Value value) {
    if (begin < end) intervals_.push_back({begin, end, end, std::move(value)});
  }

  /// Must follow the last add().
  void seal() {
    std::stable_sort(intervals_.begin(), intervals_.end(),
                     [](const Interval& a, const Interval& b) { return a.begin < b.begin; });
    std::uint64_t reach = 0;
    for (Interval& interval : intervals_) interval.reach = reach = std::max(reach, interval.end);
    intervals_.shrink_to_fit();
  }

  bool empty() const { return intervals_.empty(); }

  /// Shows `visitor` the values of the ranges that contain `address`, the latest beginning first (for equal beginnings
  /// the last added), until it returns true. Tells whether it did.
  template <typename Visitor>
  bool visit(std::uint64_t address, Visitor visitor) const {
    auto after = std::upper_bound(intervals_.begin(), intervals_.end(), address,
                                  [](std::uint64_t point, const Interval& interval) { return point < interval.begin; });
    while (after != intervals_.begin()) {
      const Interval& interval = *--after;
      if (interval.reach <= address) return false;
      if (interval.end > address && visitor(interval.value)) return true;
    }
    return false;
  }

 private:
  struct Interval {
    std::uint64_t begin;
    std::uint64_t end;
    std::uint64_t reach;  // the greatest end up to here: where it is too low, nothing further left matters
    Value value;
  };
  std::vector<Interval> intervals_;
};

}  // namespace tracer::symbols
