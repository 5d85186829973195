// SPDX-License-Identifier: Apache-2.0
#include "recording/convert.h"

#include <fmt/format.h>

#include <cerrno>
#include <fstream>
#include <regex>

#include "report/site_view.h"
#include "report/totals.h"

namespace tracer::recording {
namespace {

/// A Writer for all outputs, opened when the header says what they are to show.
class AllOutputs : public report::Writer {
 public:
  AllOutputs(const ConvertOptions& options, Recording& recording) : options_(options), recording_(recording) {}

  /// Fails like Outputs::open().
  Result<void> open() {
    context_.stack = [this](heap::StackId id) { return recording_.names().find(id); };
    context_.symbolizer = &recording_.names();
    context_.top = options_.top.value_or(recording_.run().top);
    context_.profile_top = options_.top.value_or(0);
    if (!options_.include.empty()) context_.include = std::regex(options_.include);
    if (!options_.exclude.empty()) context_.exclude = std::regex(options_.exclude);
    context_.suppressions = options_.suppressions;
    Result<report::Outputs> opened = report::Outputs::open(options_.output, context_);
    if (!opened) return std::move(opened).error();
    outputs_ = std::move(*opened);
    return {};
  }

  const report::Context& context() const { return context_; }
  Result<void> commit() { return outputs_->commit(); }

  Result<void> begin(const report::RunInfo& run) override {
    return each([&](Writer& writer) { return writer.begin(run); });
  }
  Result<void> process(const report::ProcessEvent& event) override {
    return each([&](Writer& writer) { return writer.process(event); });
  }
  Result<void> process_ended(const heap::ProcessSnapshot&, const heap::Snapshot&) override { return {}; }
  Result<void> library(const report::LibraryEvent&) override { return {}; }
  Result<void> recording(const report::RecordingEvent& event) override {
    return each([&](Writer& writer) { return writer.recording(event); });
  }
  Result<void> diagnostic(const report::Diagnostic& diagnostic) override {
    return each([&](Writer& writer) { return writer.diagnostic(diagnostic); });
  }
  Result<void> snapshot(const heap::Snapshot&) override { return {}; }
  Result<void> finish(const heap::Snapshot& snapshot, const report::Summary& summary) override {
    return each([&](Writer& writer) { return writer.finish(snapshot, summary); });
  }

 private:
  template <typename Write>
  Result<void> each(Write&& write) {
    return outputs_->each(write);
  }

  const ConvertOptions& options_;
  Recording& recording_;
  report::Context context_;
  std::optional<report::Outputs> outputs_;
};

Error in_line(Error error, const std::string& path, std::uint64_t number) {
  return std::move(error).in_context(fmt::format("{}:{}", path, number));
}

Error cut_off(const std::string& path, std::uint64_t lines) {
  return Error(ErrorKind::kCorrupt, fmt::format("{}: ends behind line {} without a summary", path, lines),
               "the run was cut off, or has not ended yet: its last snapshots were taken, with the stacks they name");
}

Result<void> read_lines(std::istream& input, const std::string& path, Recording& recording, Damage& damage) {
  std::string line;
  std::uint64_t number = 0;
  while (std::getline(input, line)) {
    ++number;
    Result<void> taken = recording.take(line);
    if (taken) continue;
    const ErrorKind kind = taken.error().kind();
    if (kind != ErrorKind::kCorrupt && kind != ErrorKind::kUnsupported) return taken;
    Error error = in_line(std::move(taken).error(), path, number);
    if (!recording.has_header()) return error;
    damage = std::move(error).with_hint("what came before this line was taken; the file may have been cut off here");
    return {};
  }
  if (input.bad()) return Error::from_errno(errno, fmt::format("cannot read '{}'", path));
  if (!recording.has_header())
    return Error(ErrorKind::kCorrupt, fmt::format("'{}' is empty", path),
                 "a recording is what 'tracer -f ndjson' or '-o FILE.ndjson' writes");
  if (!recording.summary()) damage = cut_off(path, number);
  return {};
}

report::Summary summary_of(const Recording& recording, const heap::Snapshot& last) {
  if (recording.summary()) return *recording.summary();
  return {"error", last.t_ns, 0, 0};
}

}  // namespace

Result<void> read_recording(const std::string& path, Recording& recording, Damage& damage) {
  std::ifstream input(path == "-" ? "/dev/stdin" : path, std::ios::binary);
  // A folder can be opened, and fails at the first read.
  if (!input.is_open() || (input.peek() == std::ifstream::traits_type::eof() && input.bad()))
    return Error::from_errno(errno, fmt::format("cannot read '{}'", path),
                             "give a file that 'tracer -o FILE.ndjson' wrote");
  input.clear();
  return read_lines(input, path == "-" ? "standard input" : path, recording, damage);
}

Result<Converted> convert(const ConvertOptions& options) {
  Converted converted;
  Recording recording;
  AllOutputs outputs(options, recording);
  recording.set_listener(&outputs);
  recording.on_header = [&]() -> Result<void> {
    if (Result<void> opened = outputs.open(); !opened) return opened;
    return outputs.begin(recording.run());
  };
  if (Result<void> read = read_recording(options.path, recording, converted.damage); !read)
    return std::move(read).error();
  const heap::Snapshot last = recording.last_snapshot();
  if (Result<void> done = outputs.finish(last, summary_of(recording, last)); !done) return std::move(done).error();
  if (Result<void> done = outputs.commit(); !done) return std::move(done).error();
  report::SiteView view(outputs.context());
  converted.leaks = report::leak_totals(last.processes, view).sites;
  return converted;
}

}  // namespace tracer::recording
