// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "session/config.h"

namespace tracer::session {

/// How a run ended.
struct Outcome {
  std::optional<int> command_status;   ///< wait status of the traced command
  std::optional<Error> command_error;  ///< the command could not be executed
  std::uint64_t leaks = 0;             ///< stacks with leaks that are not suppressed
  bool aborted = false;                ///< a second Ctrl-C: nothing more was written
};

/// Traces until the targets exit, the time is up, the count is reached or a signal comes; writes all reports.
/// Nothing stays attached, whatever happens.
Result<Outcome> run(const Config& config);

/// Looks whether the process can be traced at all: it exists, is 64-bit, is no kernel thread.
Result<void> check_target(pid_t pid);

}  // namespace tracer::session
