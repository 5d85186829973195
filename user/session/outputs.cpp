// SPDX-License-Identifier: Apache-2.0
#include "session/outputs.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace tracer::session {
namespace {

/// Keeps everything until commit().
class DeferredOutput : public report::FileOutput {
 public:
  explicit DeferredOutput(std::unique_ptr<report::Output> target) : target_(std::move(target)) {}
  Result<void> write(std::string_view bytes) override {
    held_.append(bytes);
    return {};
  }
  Result<void> commit() override { return target_->write(held_); }

 private:
  std::unique_ptr<report::Output> target_;
  std::string held_;
};

bool is_set(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

/// https://no-color.org and CLICOLOR_FORCE, as other tools have it.
bool wants_color(Color color) {
  if (color != Color::kAuto) return color == Color::kAlways;
  if (is_set("NO_COLOR")) return false;
  if (is_set("CLICOLOR_FORCE")) return true;
  const char* terminal = std::getenv("TERM");
  return ::isatty(STDOUT_FILENO) == 1 && terminal != nullptr && std::string_view(terminal) != "dumb";
}

report::TableStyle stdout_style(Color color) {
  report::TableStyle style;
  style.color = wants_color(color);
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) style.columns = size.ws_col;
  return style;
}

}  // namespace

Result<Outputs> Outputs::open(const Config& config, const report::Context& context) {
  Outputs outputs;
  for (const OutputSpec& spec : config.outputs) {
    if (Result<void> added = outputs.add(spec, config, context); !added) return std::move(added).error();
  }
  return outputs;
}

Result<void> Outputs::add(const OutputSpec& spec, const Config& config, const report::Context& context) {
  Sink sink;
  report::TableStyle style;
  style.color = config.color == Color::kAlways;
  Format format = spec.format;
  if (spec.path == "-") {
    sink.output = report::make_stdout_output();
    if (!config.command.empty()) {
      auto deferred = std::make_unique<DeferredOutput>(std::move(sink.output));
      sink.file = deferred.get();
      sink.output = std::move(deferred);
    }
    style = stdout_style(config.color);
    if (format == Format::kAuto) {
      format = ::isatty(STDOUT_FILENO) == 1 ? Format::kTable : Format::kNdjson;
      format_implied_ = format == Format::kNdjson;
    }
  } else {
    Result<std::unique_ptr<report::FileOutput>> file = report::FileOutput::open(spec.path);
    if (!file) return std::move(file).error();
    sink.file = file->get();
    sink.output = std::move(*file);
  }
  sink.writer = format == Format::kTable ? report::make_table_writer(*sink.output, context, style)
                                         : report::make_ndjson_writer(*sink.output, context);
  sinks_.push_back(std::move(sink));
  return {};
}

Result<void> Outputs::commit() {
  for (Sink& sink : sinks_) {
    if (sink.file == nullptr) continue;
    if (Result<void> done = sink.file->commit(); !done) return done;
  }
  return {};
}

}  // namespace tracer::session
