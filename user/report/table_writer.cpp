// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "base/units.h"
#include "report/report.h"
#include "report/site_view.h"
#include "report/table_text.h"
#include "report/text.h"
#include "report/totals.h"

namespace tracer::report {
namespace {

// A periodic snapshot is for watching: the frames next to the allocation. The last report has all of them.
constexpr std::size_t kPeriodicFrames = 6;
constexpr std::size_t kAllFrames = static_cast<std::size_t>(-1);
constexpr std::size_t kMostNotes = 50;

std::string name_of(const heap::ProcessSnapshot& process) {
  return fmt::format("pid {} {}{}", process.pid, printable(process.comm), process.exited ? " (exited)" : "");
}

std::vector<std::string> counters_of(const heap::ProcessSnapshot& process) {
  std::vector<std::string> parts{
      "live " + bytes_in_blocks(process.live_bytes, process.live_objects),
      "peak " + format_bytes(process.peak_bytes),
      fmt::format("allocated {} in {}", format_bytes(process.alloc_bytes_total),
                  format_count(process.alloc_objects_total)),
      "freed " + format_bytes(process.free_bytes_total),
  };
  if (process.rss_bytes != 0) parts.push_back("rss " + format_bytes(process.rss_bytes));
  return parts;
}

/// Allocations whose stacks are not whole, and why; empty when there are none.
std::string cut_stacks(const heap::ProcessSnapshot& sum) {
  std::vector<std::string> reasons;
  std::uint64_t cut = 0;
  for (std::size_t i = 0; i < heap::kStackEndCount; ++i) {
    const auto end = static_cast<heap::StackEnd>(i);
    if (end == heap::StackEnd::kComplete || sum.stack_ends[i] == 0) continue;
    cut += sum.stack_ends[i];
    reasons.push_back(fmt::format("{} {}", format_count(sum.stack_ends[i]), heap::stack_end_name(end)));
  }
  if (cut == 0) return {};
  const double percent =
      100.0 * static_cast<double>(cut) / static_cast<double>(std::max<std::uint64_t>(sum.alloc_objects_total, cut));
  return fmt::format("of {} ({:.2g} %): {}", counted(cut, "allocation"), percent, fmt::join(reasons, ", "));
}

/// Frames that every C++ program has between its own code and the allocator.
bool is_plumbing(const symbols::SourceFrame& source) { return source.function.starts_with("operator new"); }

class TableWriter : public Writer {
 public:
  TableWriter(Output& output, Context context, TableStyle style)
      : output_(output), context_(std::move(context)), view_(context_), style_(style) {}

  Result<void> begin(const RunInfo& run) override {
    run_ = run;
    return {};
  }
  Result<void> process(const ProcessEvent& event) override;
  /// Libraries come by the dozen and are seldom what a reader looks for; NDJSON has them.
  Result<void> library(const LibraryEvent&) override { return {}; }
  Result<void> recording(const RecordingEvent& event) override;
  /// Kept for the end of the report, where they do not part the lines of the snapshots.
  Result<void> diagnostic(const Diagnostic& diagnostic) override;
  Result<void> snapshot(const heap::Snapshot& snapshot) override;
  Result<void> finish(const heap::Snapshot& snapshot, const Summary& summary) override;

 private:
  void add_process(TableText& text, const heap::ProcessSnapshot& process, std::uint64_t unix_us);
  void add_sites(TableText& text, const Ranking& ranking, Rank rank, std::size_t most_frames);
  void add_site(TableText& text, std::size_t number, const heap::SiteTotals& site, const Ranking& ranking, Rank rank,
                std::size_t most_frames);
  void add_frames(TableText& text, const heap::Stack* stack, std::size_t most_frames);
  void add_end(TableText& text, heap::StackEnd end) const;
  std::string allocator_of(const heap::Stack* stack);
  void add_leaks(TableText& text, const heap::Snapshot& snapshot, const std::string& elapsed);
  void add_verdict(TableText& text, const heap::Snapshot& snapshot, const std::string& elapsed) const;
  void add_totals(TableText& text, const heap::Snapshot& snapshot) const;
  void add_notes(TableText& text) const;
  /// " older than 500 ms", or nothing when every block counts.
  std::string age_limit() const;

  Output& output_;
  const Context context_;
  SiteView view_;
  TableStyle style_;
  RunInfo run_;
  std::vector<Diagnostic> notes_;
  std::uint64_t pauses_ = 0;
  std::uint64_t paused_ns_ = 0;
  bool after_event_ = false;  ///< the last line written is that of a process event
};

Result<void> TableWriter::process(const ProcessEvent& event) {
  std::string what;
  switch (event.kind) {
    case ProcessEvent::Kind::kAttach:
      return {};
    case ProcessEvent::Kind::kFork:
      what = fmt::format("forked from pid {}", event.parent_pid);
      break;
    case ProcessEvent::Kind::kExec:
      what = "runs " + printable(event.exe);
      break;
    case ProcessEvent::Kind::kExit:
      what = event.exit_signal ? fmt::format("killed by signal {}", *event.exit_signal)
             : event.exit_code ? fmt::format("exited with status {}", *event.exit_code)
                               : "exited";
      break;
  }
  TableText text(style_);
  after_event_ = true;
  text.line(fmt::format("[{}] pid {} {}   {}", time_of_day(event.unix_us), event.pid, printable(event.comm), what));
  return output_.write(text.take());
}

Result<void> TableWriter::recording(const RecordingEvent& event) {
  std::string what = "recording is off: nothing is seen until it is enabled";
  if (event.enabled) {
    what = "recording is on";
    if (event.paused_ns != 0) what += " again after " + format_duration(event.paused_ns);
    if (event.unverified_objects != 0)
      what += fmt::format("; {} of before may have been freed meanwhile",
                          bytes_in_blocks(event.unverified_bytes, event.unverified_objects));
  }
  TableText text(style_);
  after_event_ = true;
  text.line(fmt::format("[{}] {}", time_of_day(event.unix_us), what));
  return output_.write(text.take());
}

Result<void> TableWriter::diagnostic(const Diagnostic& diagnostic) {
  const bool is_known = std::ranges::any_of(notes_, [&](const Diagnostic& note) {
    return note.code == diagnostic.code && note.pid == diagnostic.pid && note.message == diagnostic.message;
  });
  if (diagnostic.severity != "info" && !is_known && notes_.size() < kMostNotes) notes_.push_back(diagnostic);
  return {};
}

Result<void> TableWriter::snapshot(const heap::Snapshot& snapshot) {
  TableText text(style_);
  for (const heap::ProcessSnapshot& process : snapshot.processes) {
    // What an ended process left behind does not change any more and is in the last report.
    if (!process.exited) add_process(text, process, snapshot.unix_us);
  }
  std::string block = text.take();
  if (block.empty()) return {};
  after_event_ = false;
  if (!snapshot.complete()) {
    text.line(fmt::format("INCOMPLETE: {} lost so far", counted(heap::total(snapshot.losses), "event")), Tone::kLoud);
    text.line("");
    block += text.take();
  }
  return output_.write(block);
}

void TableWriter::add_process(TableText& text, const heap::ProcessSnapshot& process, std::uint64_t unix_us) {
  std::vector<std::string> parts = counters_of(process);
  parts.insert(parts.begin(), fmt::format("[{}] {}", time_of_day(unix_us), name_of(process)));
  text.parts(parts, Tone::kTitle);
  const Ranking ranking = view_.rank(process, Rank::kLive);
  if (ranking.eligible == 0) {
    text.line("  no stack has live blocks");
  } else if (ranking.shown.empty()) {
    text.line(fmt::format("  none of {} with live blocks passes the filters", counted(ranking.eligible, "stack")));
  } else {
    text.line(fmt::format("  top {} of {} by live bytes:", ranking.shown.size(), counted(ranking.eligible, "stack")));
  }
  add_sites(text, ranking, Rank::kLive, kPeriodicFrames);
  text.line("");
}

void TableWriter::add_sites(TableText& text, const Ranking& ranking, Rank rank, std::size_t most_frames) {
  std::size_t number = 0;
  for (const heap::SiteTotals* site : ranking.shown) add_site(text, ++number, *site, ranking, rank, most_frames);
}

void TableWriter::add_site(TableText& text, std::size_t number, const heap::SiteTotals& site, const Ranking& ranking,
                           Rank rank, std::size_t most_frames) {
  const bool leaked = rank == Rank::kLeaked;
  const std::uint64_t bytes = leaked ? site.leak_bytes() : site.live_bytes();
  const std::uint64_t objects = leaked ? site.leak_objects() : site.live_objects();
  const double all = static_cast<double>(std::max<std::uint64_t>(ranking.eligible_bytes, 1));
  const heap::Stack* stack = context_.stack(site.stack_id);
  text.parts({fmt::format("{:>4}. {:>10} in {}", number, format_bytes(bytes), counted(objects, "block")),
              fmt::format("{:.1f}%", 100.0 * static_cast<double>(bytes) / all),
              "average " + format_bytes(bytes / std::max<std::uint64_t>(objects, 1)),
              "mean age " + format_duration(site.mean_age_ns),
              counted(site.alloc_objects, "allocation") + allocator_of(stack)});
  add_frames(text, stack, most_frames);
}

/// The innermost frame belongs to the allocator and is named beside the counts, so that frames begin with its caller.
std::string TableWriter::allocator_of(const heap::Stack* stack) {
  if (stack == nullptr || stack->frames.empty() || !stack->frames[0].exact) return {};
  const symbols::SourceFrame& source = context_.symbolizer->symbolize(stack->frames[0]).back();
  const std::string_view path = context_.symbolizer->module_path(stack->frames[0].module);
  std::string name = " by " + printable(source.function);
  if (source.named && !path.empty()) name += " (" + printable(base_name(path)) + ")";
  return name;
}

void TableWriter::add_frames(TableText& text, const heap::Stack* stack, std::size_t most_frames) {
  if (stack == nullptr) return add_end(text, heap::StackEnd::kNotRecorded);
  const std::size_t first = !stack->frames.empty() && stack->frames[0].exact ? 1 : 0;
  bool is_own_code = false;
  bool is_uncertain = false;
  std::size_t number = 0;
  for (std::size_t i = first; i < stack->frames.size(); ++i) {
    const heap::Frame& frame = stack->frames[i];
    if (number >= most_frames) {
      text.line(fmt::format("      ... {}", counted(stack->frames.size() - i, "more frame")), Tone::kFaint);
      return;
    }
    if (frame.by_frame_pointer && !std::exchange(is_uncertain, true))
      text.line("      (from here on by frame pointers: no call frame information)", Tone::kFaint);
    for (const symbols::SourceFrame& source : context_.symbolizer->symbolize(frame)) {
      is_own_code = is_own_code || !is_plumbing(source);
      text.frame(++number, source, context_.symbolizer->module_path(frame.module),
                 is_own_code ? Tone::kPlain : Tone::kFaint);
    }
  }
  add_end(text, stack->end);
}

void TableWriter::add_end(TableText& text, heap::StackEnd end) const {
  if (end == heap::StackEnd::kComplete) return;
  if (end == heap::StackEnd::kNotRecorded) return text.line("      (stack not recorded)", Tone::kFaint);
  if (end == heap::StackEnd::kTruncated)
    return text.line(fmt::format("      (stack cut at {} frames: --max-stack)", run_.max_stack), Tone::kFaint);
  text.line(fmt::format("      (stack ends here: {})", heap::stack_end_reason(end)), Tone::kFaint);
}

Result<void> TableWriter::finish(const heap::Snapshot& snapshot, const Summary& summary) {
  TableText text(style_);
  const std::string elapsed = format_duration(summary.duration_ns);
  pauses_ = summary.pauses;
  paused_ns_ = summary.paused_ns;
  if (after_event_) text.line("");
  if (leak_totals(snapshot.processes).objects > 0) {
    add_leaks(text, snapshot, elapsed);
  } else {
    add_verdict(text, snapshot, elapsed);
  }
  add_totals(text, snapshot);
  add_notes(text);
  if (!snapshot.complete()) {
    text.line("");
    text.line(fmt::format("INCOMPLETE: {} lost", counted(heap::total(snapshot.losses), "event")), Tone::kLoud);
    for (std::size_t i = 0; i < heap::kLossCount; ++i) {
      if (snapshot.losses[i] == 0) continue;
      const auto loss = static_cast<heap::Loss>(i);
      text.line(fmt::format("  {:>12} {:<16} {}", format_count(snapshot.losses[i]), heap::loss_name(loss),
                            heap::loss_hint(loss)));
    }
  }
  return output_.write(text.take());
}

void TableWriter::add_leaks(TableText& text, const heap::Snapshot& snapshot, const std::string& elapsed) {
  // What an exited process held counts whatever its age: nobody is left to free it.
  const bool all_exited =
      std::ranges::all_of(snapshot.processes, [](const heap::ProcessSnapshot& process) { return process.exited; });
  const std::string age = all_exited ? std::string() : age_limit();
  text.line(fmt::format("Still allocated {}after {}{}{}:", all_exited ? "at exit, " : "", elapsed,
                        age.empty() ? "" : "," + age, snapshot.complete() ? "" : " (INCOMPLETE, see the end)"),
            Tone::kTitle);
  for (const heap::ProcessSnapshot& process : snapshot.processes) {
    const Ranking ranking = view_.rank(process, Rank::kLeaked);
    if (ranking.eligible == 0) continue;
    text.line("");
    text.parts({name_of(process), bytes_in_blocks(ranking.eligible_bytes, ranking.eligible_objects),
                ranking.shown.empty()
                    ? counted(ranking.eligible, "stack") + ", none passes the filters"
                    : fmt::format("top {} of {} by bytes", ranking.shown.size(), counted(ranking.eligible, "stack"))},
               Tone::kTitle);
    add_sites(text, ranking, Rank::kLeaked, kAllFrames);
  }
}

void TableWriter::add_verdict(TableText& text, const heap::Snapshot& snapshot, const std::string& elapsed) const {
  const std::string age = age_limit();
  if (!snapshot.complete()) {
    text.line(fmt::format("No block{} was found, but {} lost, see below: leaks cannot be ruled out.",
                          age.empty() ? " still allocated" : age, counted(heap::total(snapshot.losses), "event")),
              Tone::kTitle);
  } else if (sum_of(snapshot.processes).alloc_objects_total == 0) {
    text.line(fmt::format("No allocation was seen in {}.", elapsed), Tone::kTitle);
  } else {
    text.line(fmt::format("No leaks: no block{} is still allocated after {}.", age, elapsed), Tone::kTitle);
  }
}

void TableWriter::add_totals(TableText& text, const heap::Snapshot& snapshot) const {
  const heap::ProcessSnapshot sum = sum_of(snapshot.processes);
  const auto row = [&](const char* label, const std::string& value) {
    text.line(fmt::format("  {:<14} {}", label, value));
  };
  text.line("");
  text.line("Totals:", Tone::kTitle);
  row("allocated", bytes_in_blocks(sum.alloc_bytes_total, sum.alloc_objects_total));
  row("freed", bytes_in_blocks(sum.free_bytes_total, sum.free_objects_total));
  row("still live", bytes_in_blocks(sum.live_bytes, sum.live_objects));
  const std::uint64_t old = leak_totals(snapshot.processes).objects + sum.unverified_objects;
  if (old < sum.live_objects)
    row("", counted(sum.live_objects - old, "block") + " of these younger than " + format_duration(run_.older_ns));
  if (sum.unverified_objects != 0)
    row("", bytes_in_blocks(sum.unverified_bytes, sum.unverified_objects) + " of these may have been freed in a pause");
  row("peak", format_bytes(sum.peak_bytes) + (snapshot.processes.size() > 1 ? " (the processes' peaks added up)" : ""));
  row("failed calls", format_count(sum.failed_objects_total) + " (no memory returned)");
  row("unknown frees",
      fmt::format("{} (of blocks allocated before the {}{})", format_count(sum.free_unknown_total),
                  run_.mode == "command" ? "trace began" : "attach", pauses_ == 0 ? "" : " or in a pause"));
  if (const std::string cut = cut_stacks(sum); !cut.empty()) row("cut stacks", cut);
  if (pauses_ != 0) row("pauses", fmt::format("{}, {} in all", format_count(pauses_), format_duration(paused_ns_)));
  if (snapshot.processes.size() < 2) return;
  for (const heap::ProcessSnapshot& process : snapshot.processes) {
    std::vector<std::string> parts = counters_of(process);
    parts.insert(parts.begin(), "  " + name_of(process));
    text.parts(parts);
  }
}

void TableWriter::add_notes(TableText& text) const {
  if (!notes_.empty()) text.line("");
  for (const Diagnostic& note : notes_) {
    const std::string whose = note.pid > 0 ? fmt::format("pid {}: ", note.pid) : "";
    text.line(fmt::format("{}: {}{}", printable(note.severity), whose, printable(note.message)));
    if (!note.hint.empty()) text.line("  hint: " + printable(note.hint));
  }
}

std::string TableWriter::age_limit() const {
  return run_.older_ns == 0 ? "" : " older than " + format_duration(run_.older_ns);
}

}  // namespace

std::unique_ptr<Writer> make_table_writer(Output& output, Context context, TableStyle style) {
  return std::make_unique<TableWriter>(output, std::move(context), style);
}

}  // namespace tracer::report
