// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "report/output.h"
#include "report/report.h"
#include "session/config.h"

namespace tracer::session {

/// The reports of a run: every record goes to every writer.
class Outputs {
 public:
  /// Opens all outputs, so that an unwritable one is known before anything is traced. With a command, what goes to
  /// standard output is held back until the command has ended: the two would mix.
  static Result<Outputs> open(const Config& config, const report::Context& context);

  /// Calls `write` with each writer; the first failure is returned.
  template <typename Write>
  Result<void> each(Write&& write) {
    for (Sink& sink : sinks_) {
      if (Result<void> done = write(*sink.writer); !done) return done;
    }
    return {};
  }

  /// Gives files their names and writes what was held back.
  Result<void> commit();

  /// Whether standard output gets NDJSON only because it is no terminal.
  bool is_format_implied() const { return format_implied_; }

 private:
  struct Sink {
    std::unique_ptr<report::Output> output;
    report::FileOutput* file = nullptr;  ///< output, when it is a file
    std::unique_ptr<report::Writer> writer;
  };

  Result<void> add(const OutputSpec& spec, const Config& config, const report::Context& context);

  std::vector<Sink> sinks_;
  bool format_implied_ = false;
};

}  // namespace tracer::session
