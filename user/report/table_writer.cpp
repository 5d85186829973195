// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "base/units.h"
#include "heap/estimate.h"
#include "report/machine_table.h"
#include "report/memory_table.h"
#include "report/misuse_text.h"
#include "report/report.h"
#include "report/site_text.h"
#include "report/site_view.h"
#include "report/symbol_notes.h"
#include "report/table_text.h"
#include "report/text.h"
#include "report/totals.h"

namespace tracer::report {
namespace {

constexpr std::size_t kMostNotes = 50;

std::string name_of(const heap::ProcessSnapshot& process) {
  return fmt::format("pid {} {}{}", process.pid, printable(process.comm), process.exited ? " (exited)" : "");
}

Certainty leak_certainty(const heap::ProcessSnapshot& process) {
  Certainty certainty{process.estimated, 0};
  for (const heap::SiteTotals& site : process.sites) certainty.variance += heap::leak_variance(site);
  return certainty;
}

Certainty certainty_of(const heap::HeapCounters& counters) { return {counters.estimated, counters.live_variance}; }

std::vector<std::string> counters_of(const heap::ProcessSnapshot& process) {
  const char* about = mark(certainty_of(process));
  std::vector<std::string> parts{
      "live " + bytes_in_blocks(process.live_bytes, process.live_objects, certainty_of(process)),
      fmt::format("peak {}{}", about, format_bytes(process.peak_bytes)),
      fmt::format("allocated {0}{1} in {0}{2}", about, format_bytes(process.alloc_bytes_total),
                  format_count(process.alloc_objects_total)),
      fmt::format("freed {}{}", about, format_bytes(process.free_bytes_total)),
  };
  if (process.rss_bytes != 0) parts.push_back("rss " + format_bytes(process.rss_bytes));
  return parts;
}

/// Allocations whose stacks are not whole, and why; empty when there are none.
std::string cut_stacks(const heap::HeapCounters& sum) {
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
  return fmt::format("of {}{} ({:.2g} %): {}", mark(certainty_of(sum)), counted(cut, "allocation"), percent,
                     fmt::join(reasons, ", "));
}

class TableWriter : public Writer {
 public:
  TableWriter(Output& output, Context context, TableStyle style)
      : output_(output),
        context_(std::move(context)),
        view_(context_),
        sites_(context_),
        memory_(view_, sites_),
        style_(style) {}

  Result<void> begin(const RunInfo& run) override {
    run_ = run;
    sites_.set_max_stack(run.max_stack);
    machine_.emplace(context_, view_, sites_, run.by);
    return {};
  }
  Result<void> process(const ProcessEvent& event) override;
  /// The groups and the totals of the next report count it in.
  Result<void> process_ended(const heap::ProcessSnapshot&, const heap::Snapshot&) override { return {}; }
  /// Libraries come by the dozen and are seldom what a reader looks for; NDJSON has them.
  Result<void> library(const LibraryEvent&) override { return {}; }
  Result<void> recording(const RecordingEvent& event) override;
  /// Kept for the end of the report, where they do not part the lines of the snapshots.
  Result<void> diagnostic(const Diagnostic& diagnostic) override;
  Result<void> snapshot(const heap::Snapshot& snapshot) override;
  Result<void> finish(const heap::Snapshot& snapshot, const Summary& summary) override;

 private:
  void add_process(TableText& text, const heap::ProcessSnapshot& process, std::uint64_t unix_us);
  void add_leaks(TableText& text, const heap::Snapshot& snapshot, const std::string& elapsed);
  void add_verdict(TableText& text, const heap::Snapshot& snapshot, const std::string& elapsed) const;
  void add_totals(TableText& text, const heap::Snapshot& snapshot);
  void add_notes(TableText& text) const;
  std::string what_estimates_are() const;
  /// " older than 500 ms", or nothing when every block counts.
  std::string age_limit() const;

  Output& output_;
  const Context context_;
  SiteView view_;
  SiteText sites_;
  MemoryTable memory_;
  std::optional<MachineTable> machine_;
  TableStyle style_;
  RunInfo run_;
  std::vector<Diagnostic> notes_;
  std::uint64_t pauses_ = 0;
  std::uint64_t paused_ns_ = 0;
  bool after_event_ = false;  ///< the last line written is that of a process event
};

Result<void> TableWriter::process(const ProcessEvent& event) {
  // On a whole machine they come by the thousand.
  if (run_.mode == "all") return {};
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
  if (snapshot.machine && machine_) {
    machine_->add_snapshot(text, snapshot, style_.columns);
    text.line("");
  } else {
    for (const heap::ProcessSnapshot& process : snapshot.processes) {
      // What an ended process left behind does not change any more and is in the last report.
      if (!process.exited) add_process(text, process, snapshot.unix_us);
    }
    memory_.add_stacks(text, snapshot, kPeriodicFrames);
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
  sites_.add(text, {ranking, Rank::kLive, process.estimated, kPeriodicFrames});
  text.line("");
}

Result<void> TableWriter::finish(const heap::Snapshot& snapshot, const Summary& summary) {
  TableText text(style_);
  const std::string elapsed = format_duration(summary.duration_ns);
  pauses_ = summary.pauses;
  paused_ns_ = summary.paused_ns;
  if (after_event_) text.line("");
  if (snapshot.machine && machine_) {
    machine_->add_last(text, snapshot, summary, age_limit(), style_.columns);
  } else if (leak_totals(snapshot.processes, view_).objects > 0) {
    add_leaks(text, snapshot, elapsed);
  } else {
    add_verdict(text, snapshot, elapsed);
  }
  if (!snapshot.machine) memory_.add_stacks(text, snapshot, kAllFrames);
  add_misuses(text, sites_, snapshot);
  add_totals(text, snapshot);
  const bool is_estimated =
      snapshot.machine ? snapshot.machine->counters.estimated : sum_of(snapshot.processes).estimated;
  if (sites_.has_folded())
    text.line("  Frames of allocators, containers and program starts are hidden: see -v.", Tone::kFaint);
  if (is_estimated) text.line(what_estimates_are(), Tone::kFaint);
  for (const Diagnostic& note : symbol_notes(*context_.symbolizer, snapshot)) (void)diagnostic(note);
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
    text.parts(
        {name_of(process), bytes_in_blocks(ranking.eligible_bytes, ranking.eligible_objects, leak_certainty(process)),
         ranking.shown.empty() ? counted(ranking.eligible, "stack") + ", none passes the filters"
                               : heading_of(ranking, Rank::kLeaked)},
        Tone::kTitle);
    sites_.add(text, {ranking, Rank::kLeaked, process.estimated, kAllFrames});
  }
}

void TableWriter::add_verdict(TableText& text, const heap::Snapshot& snapshot, const std::string& elapsed) const {
  const std::string age = age_limit();
  const heap::HeapCounters sum = sum_of(snapshot.processes);
  if (!snapshot.complete()) {
    text.line(fmt::format("No block{} was found, but {} lost, see below: leaks cannot be ruled out.",
                          age.empty() ? " still allocated" : age, counted(heap::total(snapshot.losses), "event")),
              Tone::kTitle);
  } else if (sum.alloc_objects_total == 0) {
    text.line(fmt::format("No allocation was {} in {}.", sum.estimated ? "sampled" : "seen", elapsed), Tone::kTitle);
  } else if (sum.estimated) {
    text.line(fmt::format("No sampled block{} is still allocated after {}: what leaks is small beside the sampling "
                          "distance, if anything does.",
                          age, elapsed),
              Tone::kTitle);
  } else {
    text.line(fmt::format("No leaks: no block{} is still allocated after {}.", age, elapsed), Tone::kTitle);
  }
}

void TableWriter::add_totals(TableText& text, const heap::Snapshot& snapshot) {
  const bool is_machine = snapshot.machine.has_value();
  const heap::HeapCounters sum = is_machine ? snapshot.machine->counters : sum_of(snapshot.processes);
  const auto row = [&](const char* label, const std::string& value) {
    text.line(fmt::format("  {:<14} {}", label, value));
  };
  text.line("");
  text.line("Totals:", Tone::kTitle);
  const Certainty certainty{sum.estimated, 0};
  const char* about = mark(certainty);
  row("allocated", bytes_in_blocks(sum.alloc_bytes_total, sum.alloc_objects_total, certainty));
  row("freed", bytes_in_blocks(sum.free_bytes_total, sum.free_objects_total, certainty));
  row("still live", bytes_in_blocks(sum.live_bytes, sum.live_objects, certainty_of(sum)));
  const LeakTotals leaks = leak_totals(snapshot.processes, view_);
  const std::uint64_t old = leaks.objects + leaks.suppressed.objects + sum.unverified_objects;
  if (old < sum.live_objects)
    row("",
        about + counted(sum.live_objects - old, "block") + " of these younger than " + format_duration(run_.older_ns));
  if (sum.unverified_objects != 0)
    row("", bytes_in_blocks(sum.unverified_bytes, sum.unverified_objects, certainty) +
                " of these may have been freed in a pause");
  if (leaks.suppressed.sites != 0)
    row("suppressed", fmt::format("{} of {} (--suppressions)",
                                  bytes_in_blocks(leaks.suppressed.bytes, leaks.suppressed.objects, certainty),
                                  counted(leaks.suppressed.sites, "stack")));
  if (is_machine) {
    row("held at exit", bytes_in_blocks(snapshot.machine->held_at_exit_bytes_total,
                                        snapshot.machine->held_at_exit_objects_total, certainty));
    row("processes", fmt::format("{} alive, {} exited", format_count(snapshot.machine->processes_live),
                                 format_count(snapshot.machine->processes_exited_total)));
  } else {
    row("peak", about + format_bytes(sum.peak_bytes) +
                    (snapshot.processes.size() > 1 ? " (the processes' peaks added up)" : ""));
  }
  row("failed calls", format_count(sum.failed_objects_total) + " (no memory returned)");
  if (!sum.estimated)
    row("unknown frees",
        fmt::format("{} (of blocks allocated before the {}{})", format_count(sum.free_unknown_total),
                    run_.mode == "pid" ? "attach" : "trace began", pauses_ == 0 ? "" : " or in a pause"));
  memory_.add_totals(text, snapshot);
  if (const std::string cut = cut_stacks(sum); !cut.empty()) row("cut stacks", cut);
  if (pauses_ != 0) row("pauses", fmt::format("{}, {} in all", format_count(pauses_), format_duration(paused_ns_)));
  if (is_machine || snapshot.processes.size() < 2) return;
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

std::string TableWriter::what_estimates_are() const {
  const std::string sample =
      run_.sample_bytes == 0 ? std::string() : fmt::format(" of one in {} (--sample)", format_bytes(run_.sample_bytes));
  return fmt::format("  Figures with ~ are estimated from a sample{}; ± is one standard error.", sample);
}

std::string TableWriter::age_limit() const {
  return run_.older_ns == 0 ? "" : " older than " + format_duration(run_.older_ns);
}

}  // namespace

std::unique_ptr<Writer> make_table_writer(Output& output, Context context, TableStyle style) {
  return std::make_unique<TableWriter>(output, std::move(context), style);
}

}  // namespace tracer::report
