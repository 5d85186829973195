// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cli/options.h"

namespace tracer::cli {

/// Whether the words behind the program's name are `report FILE…` or `diff A B…`, and not those of a run.
bool is_about_recordings(int argc, const char* const* argv);

/// Reads the command line of these two. Fails with kUsage and a hint.
Result<Options> parse_recording_options(int argc, const char* const* argv);

}  // namespace tracer::cli
