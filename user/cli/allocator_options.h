// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "session/config.h"

namespace tracer::cli {

/// Which allocators are traced, as text.
struct RawAllocators {
  std::vector<std::string> families, no_families, own;
};

/// Fills `config.families` and `config.own`. Fails with kUsage; with another kind when a file of --allocator @FILE
/// cannot be read.
Result<void> read_allocators(const RawAllocators& raw, session::Config& config);

}  // namespace tracer::cli
