// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "report/file_name.h"
#include "report/format.h"
#include "report/output.h"
#include "report/report.h"

namespace tracer::report {

enum class Color { kAuto, kAlways, kNever };

/// What standard output can show: its width, and whether colors are wanted.
TableStyle stdout_style(Color color);

/// Where reports go and what they look like.
struct OutputOptions {
  std::vector<OutputSpec> specs{{"-", nullptr}};
  Color color = Color::kAuto;
  Metric metric = Metric::kInuseSpace;
  bool defers_stdout = false;  ///< a traced command writes there, too: hold back until commit()
};

/// The reports of a run: every record goes to every writer.
class Outputs {
 public:
  /// Opens all outputs, so that an unwritable one is known before anything is traced.
  static Result<Outputs> open(const OutputOptions& options, const Context& context);

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
    std::unique_ptr<Output> output;  ///< nothing for what only listens
    FileOutput* file = nullptr;      ///< output, when it is a file
    std::string path;                ///< as it was given
    std::unique_ptr<Writer> writer;
  };

  Result<void> add(const OutputSpec& spec, const OutputOptions& options, const Context& context);
  Result<void> open_stdout(Sink& sink, const Format*& format, const OutputOptions& options);
  Result<void> open_file(Sink& sink, const Format& format);

  std::shared_ptr<NameFacts> facts_ = std::make_shared<NameFacts>();
  std::vector<Sink> sinks_;
  bool format_implied_ = false;
};

}  // namespace tracer::report
