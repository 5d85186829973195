// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "heap/snapshot.h"

namespace tracer::heap {

/// Blocks as the books count them, in units of 1/1024: a sampled block stands for a number of blocks that is not whole.
struct ObjectUnits {
  std::uint64_t alloc = 0;
  std::uint64_t free = 0;
  std::uint64_t young = 0;
  std::uint64_t unverified = 0;
};
inline constexpr std::uint64_t kUnitsPerObject = 1024;

/// To the nearest whole number.
std::uint64_t whole_objects(std::uint64_t units);

/// Sets the counts of blocks of a stack. What is live or leaked is rounded as such and not as a difference of rounded
/// numbers, so that no stack with leaked blocks has none for it.
void set_objects(SiteTotals& site, const ObjectUnits& units);

/// One standard error of an estimate in bytes: two times out of three what is estimated lies within it.
std::uint64_t standard_error(double variance);

/// The same as a share of the estimate; 0 of nothing.
double relative_error(double variance, std::uint64_t bytes);

/// The variance of leak_bytes(): of that of the live bytes the same share as of the bytes.
double leak_variance(const SiteTotals& site);

}  // namespace tracer::heap
