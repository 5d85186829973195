// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <vector>

#include "cli/exit_code.h"

namespace tracer::cli {

/// `tracer --check [--pid PID…]`: prints what this kernel and these privileges allow, item by item, with what to do
/// about each "no"; for each process, which functions would get a probe and where. kFailure when something needed is
/// missing.
ExitCode run_check(const std::vector<pid_t>& pids);

}  // namespace tracer::cli
