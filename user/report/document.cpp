// SPDX-License-Identifier: Apache-2.0
#include "report/document.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

namespace tracer::report {
namespace {

class DocumentWriter : public Writer {
 public:
  DocumentWriter(Output& output, Context context, const FormatOptions& options, WriteDocument function)
      : output_(output), context_(std::move(context)), options_(options), write_(function) {}

  Result<void> begin(const RunInfo& run) override {
    run_ = run;
    return {};
  }
  /// The first process is what the run is about.
  Result<void> process(const ProcessEvent& event) override {
    if (run_.mode != "all" && first_.pid == 0) first_ = event;
    return {};
  }
  Result<void> process_ended(const heap::ProcessSnapshot&, const heap::Snapshot&) override { return {}; }
  Result<void> library(const LibraryEvent&) override { return {}; }
  Result<void> recording(const RecordingEvent&) override { return {}; }
  Result<void> diagnostic(const Diagnostic&) override { return {}; }
  Result<void> snapshot(const heap::Snapshot& snapshot) override {
    return output_.keeps_each_snapshot() ? write(snapshot) : Result<void>();
  }
  Result<void> finish(const heap::Snapshot& snapshot, const Summary&) override { return write(snapshot); }

 private:
  Result<void> write(const heap::Snapshot& snapshot) {
    Profile profile(run_, context_, snapshot);
    const bool is_known = !first_.cmdline.empty();
    profile.command = one_line(fmt::format("{}", fmt::join(is_known ? first_.cmdline : run_.argv, " ")));
    profile.exe = first_.exe;
    profile.pid = first_.pid;
    if (Result<void> done = write_(profile, options_, output_); !done) return done;
    return output_.end_snapshot(snapshot.seq);
  }

  Output& output_;
  const Context context_;
  const FormatOptions options_;
  WriteDocument write_;
  RunInfo run_;
  ProcessEvent first_;
};

}  // namespace

std::unique_ptr<Writer> make_document_writer(Output& output, Context context, const FormatOptions& options,
                                             WriteDocument write) {
  return std::make_unique<DocumentWriter>(output, std::move(context), options, write);
}

}  // namespace tracer::report
