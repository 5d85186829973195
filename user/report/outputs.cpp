// SPDX-License-Identifier: Apache-2.0
#include "report/outputs.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "report/file_series.h"

namespace tracer::report {
namespace {

/// Keeps everything until commit().
class DeferredOutput : public FileOutput {
 public:
  explicit DeferredOutput(std::unique_ptr<Output> target) : target_(std::move(target)) {}
  Result<void> write(std::string_view bytes) override {
    held_.append(bytes);
    return {};
  }
  Result<void> commit() override { return target_->write(held_); }

 private:
  std::unique_ptr<Output> target_;
  std::string held_;
};

/// Learns from a run what the place-holders in names of files stand for.
class NameListener : public Writer {
 public:
  explicit NameListener(std::shared_ptr<NameFacts> facts) : facts_(std::move(facts)) {}

  Result<void> begin(const RunInfo& run) override {
    facts_->host = run.host.name;
    facts_->unix_us = run.unix_us;
    facts_->pid = run.mode == "all" ? ::getpid() : run.pids.empty() ? 0 : run.pids.front();
    return {};
  }
  Result<void> process(const ProcessEvent& event) override {
    if (facts_->pid == 0) facts_->pid = event.pid;
    return {};
  }
  Result<void> process_ended(const heap::ProcessSnapshot&, const heap::Snapshot&) override { return {}; }
  Result<void> library(const LibraryEvent&) override { return {}; }
  Result<void> recording(const RecordingEvent&) override { return {}; }
  Result<void> diagnostic(const Diagnostic&) override { return {}; }
  Result<void> snapshot(const heap::Snapshot&) override { return {}; }
  Result<void> finish(const heap::Snapshot&, const Summary&) override { return {}; }

 private:
  std::shared_ptr<NameFacts> facts_;
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

}  // namespace

TableStyle stdout_style(Color color) {
  TableStyle style;
  style.color = wants_color(color);
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) style.columns = size.ws_col;
  return style;
}

Result<Outputs> Outputs::open(const OutputOptions& options, const Context& context) {
  Outputs outputs;
  // First of all: the others may give a file its name at any time.
  Sink listener;
  listener.writer = std::make_unique<NameListener>(outputs.facts_);
  outputs.sinks_.push_back(std::move(listener));
  for (const OutputSpec& spec : options.specs) {
    if (Result<void> added = outputs.add(spec, options, context); !added) return std::move(added).error();
  }
  return outputs;
}

Result<void> Outputs::add(const OutputSpec& spec, const OutputOptions& options, const Context& context) {
  Sink sink;
  sink.path = spec.path;
  const bool is_stdout = spec.path == "-";
  const Format* format = spec.format;
  Result<void> opened = is_stdout ? open_stdout(sink, format, options) : open_file(sink, *format);
  if (!opened) return opened;
  FormatOptions how{spec.path, {}, options.metric};
  how.style.color = options.color == Color::kAlways;
  if (is_stdout) how.style = stdout_style(options.color);
  sink.writer = format->make(*sink.output, context, how);
  sinks_.push_back(std::move(sink));
  return {};
}

Result<void> Outputs::open_stdout(Sink& sink, const Format*& format, const OutputOptions& options) {
  const bool is_terminal = ::isatty(STDOUT_FILENO) == 1;
  if (format == nullptr) {
    format = format_named(is_terminal ? "table" : "ndjson");
    format_implied_ = !is_terminal;
  }
  if (format->is_binary && is_terminal)
    return Error(ErrorKind::kUsage, fmt::format("{} is nothing for a terminal to show", format->name),
                 fmt::format("write it to a file: -o FILE{}", format->extensions.front()));
  sink.output = make_stdout_output();
  if (!options.defers_stdout) return {};
  auto deferred = std::make_unique<DeferredOutput>(std::move(sink.output));
  sink.file = deferred.get();
  sink.output = std::move(deferred);
  return {};
}

Result<void> Outputs::open_file(Sink& sink, const Format& format) {
  if (Result<void> good = check_file_name(sink.path); !good) return good;
  if (has_snapshot_number(sink.path) && format.is_stream)
    return Error(ErrorKind::kUsage,
                 fmt::format("--output '{}': %n is the number of one snapshot, and {} holds all of them in one file",
                             sink.path, format.name),
                 "leave out %n, or choose a format that holds one, such as pprof");
  Result<std::unique_ptr<FileOutput>> file =
      has_snapshot_number(sink.path) ? open_file_series(sink.path, facts_) : FileOutput::open(sink.path);
  if (!file) return std::move(file).error();
  sink.file = file->get();
  sink.output = std::move(*file);
  return {};
}

Result<void> Outputs::commit() {
  for (Sink& sink : sinks_) {
    if (sink.file == nullptr) continue;
    if (has_placeholder(sink.path)) sink.file->rename_to(expand_file_name(sink.path, *facts_, 0));
    if (Result<void> done = sink.file->commit(); !done) return done;
  }
  return {};
}

}  // namespace tracer::report
