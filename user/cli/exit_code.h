// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace tracer::cli {

/// What the tracer's exit status says. With a command, the command's own status is passed on and only 125 to 127 are
/// ours, as env(1) and timeout(1) have it.
enum class ExitCode : int {
  kOk = 0,               ///< traced; the report was written
  kFailure = 1,          ///< could not trace, or not write the report
  kUsage = 2,            ///< options that make no sense
  kTracerFailed = 125,   ///< with a command: the tracer failed
  kNotExecutable = 126,  ///< the command was found and could not be executed
  kNotFound = 127,       ///< the command was not found
  kAborted = 130,        ///< a second Ctrl-C
  kBrokenPipe = 141,     ///< the reader of our output went away
};

}  // namespace tracer::cli
