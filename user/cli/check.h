// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/exit_code.h"
#include "session/config.h"

namespace tracer::cli {

/// `tracer --check [--pid PID…]`: prints what this kernel and these privileges allow, item by item, with what to do
/// about each "no"; for each process, which functions would get a probe and where, and which would not and why.
/// kFailure when something needed is missing.
ExitCode run_check(const session::Config& config);

}  // namespace tracer::cli
