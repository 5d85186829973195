// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/result.h"
#include "cli/exit_code.h"
#include "recording/convert.h"
#include "recording/diff.h"
#include "session/config.h"

namespace tracer::cli {

/// What the command line asks for.
struct Options {
  enum class Mode { kTrace, kReport, kDiff, kCheck, kHelp, kVersion };

  Mode mode = Mode::kTrace;
  int verbosity = 1;       ///< 0 quiet, 1 normal, 2 -v, 3 -vv
  session::Config config;  ///< for kTrace; for kCheck only its pids and its allocators
  recording::ConvertOptions report;
  recording::DiffOptions diff;
  int leak_exitcode = 0;  ///< kTrace and kReport: the exit status when something leaked; 0: as if nothing had
};

/// Reads the command line. Fails with kUsage and a hint; never exits and never prints.
Result<Options> parse_options(int argc, const char* const* argv);

/// The exit code for a command line that parse_options() refused: 125 when it names a command to run, else 2.
ExitCode usage_exit_code(int argc, const char* const* argv);

std::string help_text();
std::string version_text();

}  // namespace tracer::cli
