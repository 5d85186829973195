// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.h"
#include "recording/diff.h"

namespace tracer::recording {

/// Writes a comparison where `options.output` says, as a table or NDJSON.
Result<void> write_diff(const Diff& diff, const DiffOptions& options, const Recording& before, const Recording& after);

}  // namespace tracer::recording
