// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <string>

#include "base/log.h"
#include "cli/check.h"
#include "cli/exit_code.h"
#include "cli/options.h"
#include "session/command.h"
#include "session/session.h"

/// Settings of the allocator that is linked in (jemalloc(3), TUNING): one thread does nearly all, and what it has given
/// back is of use to the machine at once.
extern "C" const char* malloc_conf;
const char* malloc_conf = "narenas:1,dirty_decay_ms:1000,muzzy_decay_ms:0";

namespace tracer::cli {
namespace {

/// Ends as a program does whose reader has gone, so that the shell sees what it expects.
[[noreturn]] void die_of_broken_pipe() {
  std::signal(SIGPIPE, SIG_DFL);
  std::raise(SIGPIPE);
  std::_Exit(static_cast<int>(ExitCode::kBrokenPipe));
}

int exit_code_of(const Error& error, bool has_command) {
  if (!has_command) return static_cast<int>(error.kind() == ErrorKind::kUsage ? ExitCode::kUsage : ExitCode::kFailure);
  return static_cast<int>(ExitCode::kTracerFailed);
}

int trace(const session::Config& config, int leak_exitcode) {
  Result<session::Outcome> outcome = session::run(config);
  if (!outcome) {
    if (outcome.error().errno_value() == EPIPE) die_of_broken_pipe();
    log::error(outcome.error());
    return exit_code_of(outcome.error(), !config.command.empty());
  }
  if (outcome->aborted) return static_cast<int>(ExitCode::kAborted);
  if (outcome->command_error) {
    log::error(*outcome->command_error);
    const bool missing = outcome->command_error->kind() == ErrorKind::kNotFound;
    return static_cast<int>(missing ? ExitCode::kNotFound : ExitCode::kNotExecutable);
  }
  if (leak_exitcode != 0 && outcome->leaks != 0) return leak_exitcode;
  return outcome->command_status ? session::exit_status_of(*outcome->command_status) : static_cast<int>(ExitCode::kOk);
}

int failed(const Error& error) {
  if (error.errno_value() == EPIPE) die_of_broken_pipe();
  log::error(error);
  return exit_code_of(error, false);
}

/// What is whole of a damaged recording has been written; the status says that it is not all.
int report(const Options& options) {
  const Result<recording::Converted> converted = recording::convert(options.report);
  if (!converted) return failed(converted.error());
  if (converted->damage) return failed(*converted->damage);
  return options.leak_exitcode != 0 && converted->leaks != 0 ? options.leak_exitcode : static_cast<int>(ExitCode::kOk);
}

int diff(const Options& options) {
  const Result<std::vector<Error>> damages = recording::diff(options.diff);
  if (!damages) return failed(damages.error());
  for (const Error& damage : *damages) log::error(damage);
  return static_cast<int>(damages->empty() ? ExitCode::kOk : ExitCode::kFailure);
}

int run(int argc, const char* const* argv) {
  // A closed pipe is an error of write(), so that everything is detached before we end.
  std::signal(SIGPIPE, SIG_IGN);
  Result<Options> options = parse_options(argc, argv);
  if (!options) {
    log::error(options.error());
    return static_cast<int>(usage_exit_code(argc, argv));
  }
  log::set_level(static_cast<log::Level>(options->verbosity));
  switch (options->mode) {
    case Options::Mode::kHelp:
      std::fputs(help_text().c_str(), stdout);
      return static_cast<int>(ExitCode::kOk);
    case Options::Mode::kVersion:
      std::fputs(version_text().c_str(), stdout);
      return static_cast<int>(ExitCode::kOk);
    case Options::Mode::kCheck:
      return static_cast<int>(run_check(options->config));
    case Options::Mode::kTrace:
      return trace(options->config, options->leak_exitcode);
    case Options::Mode::kReport:
      return report(*options);
    case Options::Mode::kDiff:
      return diff(*options);
  }
  return static_cast<int>(ExitCode::kFailure);
}

}  // namespace
}  // namespace tracer::cli

int main(int argc, char** argv) { return tracer::cli::run(argc, argv); }
