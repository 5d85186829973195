// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "heap/estimate.h"
#include "report/activity.h"
#include "report/json_record.h"
#include "report/machine_json.h"
#include "report/misuse_text.h"
#include "report/report.h"
#include "report/site_view.h"
#include "report/symbol_notes.h"
#include "report/totals.h"

namespace tracer::report {
namespace {

constexpr std::uint64_t kNsPerSecond = 1'000'000'000;

const char* event_name(ProcessEvent::Kind kind) {
  switch (kind) {
    case ProcessEvent::Kind::kAttach:
      return "attach";
    case ProcessEvent::Kind::kFork:
      return "fork";
    case ProcessEvent::Kind::kExec:
      return "exec";
    case ProcessEvent::Kind::kExit:
      break;
  }
  return "exit";
}

void number_or_null(JsonRecord& record, const char* name, const std::optional<int>& value) {
  if (value) {
    record.integer(name, *value);
  } else {
    record.null(name);
  }
}

void text_if_known(JsonRecord& record, const char* name, const std::string& value) {
  if (!value.empty()) record.text(name, value);
}

/// Nothing where everything was counted.
void estimate(JsonRecord& record, bool estimated, double variance) {
  if (estimated) record.flag("estimated", true).number("error_bytes", heap::standard_error(variance));
}

/// The counters that a snapshot has for one process and the summary for all.
void totals(JsonRecord& record, const heap::HeapCounters& from) {
  record.number("live_bytes", from.live_bytes)
      .number("live_objects", from.live_objects)
      .number("unverified_bytes", from.unverified_bytes)
      .number("unverified_objects", from.unverified_objects)
      .number("alloc_bytes_total", from.alloc_bytes_total)
      .number("alloc_objects_total", from.alloc_objects_total)
      .number("free_bytes_total", from.free_bytes_total)
      .number("free_objects_total", from.free_objects_total);
  if (from.estimated)
    record.null("free_unknown_total");
  else
    record.number("free_unknown_total", from.free_unknown_total);
  record.number("failed_objects_total", from.failed_objects_total).number("peak_bytes", from.peak_bytes);
  estimate(record, from.estimated, from.live_variance);
  record.begin_object("stack_ends");
  for (std::size_t i = 0; i < heap::kStackEndCount; ++i) {
    if (from.stack_ends[i] != 0)
      record.number(heap::stack_end_name(static_cast<heap::StackEnd>(i)), from.stack_ends[i]);
  }
  record.end_object();
}

Context for_profiles(Context context) {
  context.top = context.profile_top;
  return context;
}

/// How a leak came to be. Rates are missing where the site was observed too briefly.
void verdict(JsonRecord& record, const heap::SiteTotals& site) {
  const heap::Trend& trend = site.trend;
  record.text("verdict", heap::course_name(trend.course));
  if (trend.course != heap::Course::kUnknown) {
    record.real("growth_bytes_per_s", trend.growth_bytes_per_s, 3);
    record.real("growth_error_bytes_per_s", trend.growth_error, 3);
  }
  const auto allocs = static_cast<double>(std::max<std::uint64_t>(site.alloc_objects, 1));
  record.real("freed_share", static_cast<double>(site.free_objects) / allocs, 6);
  if (trend.freed_after_ns != 0) record.number("freed_after_ns", trend.freed_after_ns);
  record.number("observed_ns", trend.observed_ns).number("quiet_ns", trend.quiet_ns);
  record.number("peak_bytes", std::max(trend.peak_bytes, site.live_bytes())).numbers("stayed_bytes", trend.stayed);
}

/// All of what was judged, to be judged by later; missing where nothing was.
void add_trend(JsonRecord& record, const heap::Trend& trend) {
  if (trend.observed_ns == 0) return;
  record.begin_object("trend")
      .text("course", heap::course_name(trend.course))
      .real("growth_bytes_per_s", trend.growth_bytes_per_s)
      .real("growth_error_bytes_per_s", trend.growth_error)
      .number("observed_ns", trend.observed_ns)
      .number("quiet_ns", trend.quiet_ns)
      .number("peak_bytes", trend.peak_bytes)
      .number("freed_after_ns", trend.freed_after_ns)
      .numbers("stayed_bytes", trend.stayed)
      .end_object();
}

class NdjsonWriter : public Writer {
 public:
  NdjsonWriter(Output& output, Context context)
      : output_(output),
        context_(std::move(context)),
        view_(context_),
        whole_(for_profiles(context_)),
        whole_view_(whole_),
        activity_(context_.top) {}

  Result<void> begin(const RunInfo& run) override;
  Result<void> process(const ProcessEvent& event) override;
  Result<void> process_ended(const heap::ProcessSnapshot& process, const heap::Snapshot& moment) override;
  Result<void> library(const LibraryEvent& event) override;
  Result<void> recording(const RecordingEvent& event) override;
  Result<void> diagnostic(const Diagnostic& diagnostic) override;
  Result<void> snapshot(const heap::Snapshot& snapshot) override;
  Result<void> finish(const heap::Snapshot& snapshot, const Summary& summary) override;

 private:
  Result<void> write(JsonRecord& record) { return output_.write(record.finish()); }
  Result<void> write_losses(const heap::Snapshot& snapshot);
  Result<void> write_process(const heap::Snapshot& snapshot, const heap::ProcessSnapshot& process, bool is_last);
  Result<void> write_machine(const heap::Snapshot& snapshot, std::size_t snapshots);
  Result<void> write_sites(const heap::ProcessSnapshot& process);
  Result<void> write_stack(heap::StackId id);
  using Sites = std::vector<const heap::SiteTotals*>;
  Result<Sites> describe_sites(const heap::ProcessSnapshot& process, Rank rank, bool is_last);
  static void add_memory_sites(JsonRecord& record, const char* array, const char* name, const Sites& sites,
                               std::uint64_t heap::SiteTotals::*bytes);
  Result<void> write_modules(const heap::Stack& stack);
  Result<void> write_anomalies(const heap::Snapshot& snapshot, const heap::ProcessSnapshot& process, bool is_last);
  Result<void> write_leaks(const heap::Snapshot& snapshot, const heap::ProcessSnapshot& process);
  Result<void> write_summary(const heap::Snapshot& snapshot, const Summary& summary);
  void add_frame(JsonRecord& record, const heap::Frame& frame);
  void add_start(JsonRecord& record, std::uint64_t start_ns) const;

  Output& output_;
  const Context context_;
  SiteView view_;
  const Context whole_;  ///< for `site` records
  SiteView whole_view_;
  Activity activity_;
  std::uint64_t boot_unix_us_ = 0;
  std::unordered_set<heap::StackId> written_stacks_;
  std::unordered_set<heap::ModuleId> written_modules_;
  heap::LossCounts written_losses_{};
  using AnomalyKey = std::tuple<heap::HeapIdentity, heap::Anomaly::Type, std::array<heap::StackId, 3>>;
  std::map<AnomalyKey, std::uint64_t> written_anomalies_;
};

Result<void> NdjsonWriter::begin(const RunInfo& run) {
  boot_unix_us_ = run.boot_unix_us;
  const Host& host = run.host;
  JsonRecord record("header");
  record.text("schema", "tracer/1").text("version", TRACER_VERSION).times(run.unix_us, 0);
  record.begin_object("host").text("name", host.name).text("arch", host.arch).text("kernel", host.kernel);
  record.text("boot_id", host.boot_id).number("cpus", host.cpus);
  record.number("page_bytes", host.page_bytes).number("memory_bytes", host.memory_bytes).end_object();
  record.texts("argv", run.argv).text("mode", run.mode).begin_array("pids");
  for (const pid_t pid : run.pids) record.element(pid);
  record.end_array();
  record.begin_object("config")
      .number("interval_ns", run.interval_ns)
      .number("sample_bytes", run.sample_bytes)
      .number("min_size", run.min_size_bytes)
      .number("max_size", run.max_size_bytes)
      .number("older_ns", run.older_ns)
      .number("top", run.top)
      .number("max_stack", run.max_stack);
  text_if_known(record, "include", run.include);
  text_if_known(record, "exclude", run.exclude);
  record.text("unwind", run.unwind).text("backend", run.backend);
  if (run.mode == "all") {
    record.text("by", heap::group_by_name(run.by));
    add_filters(record, run.filter);
  }
  record.end_object();
  return write(record);
}

Result<void> NdjsonWriter::process(const ProcessEvent& event) {
  JsonRecord record("process");
  record.text("event", event_name(event.kind)).times(event.unix_us, event.t_ns).integer("pid", event.pid);
  if (event.parent_pid > 0) record.integer("ppid", event.parent_pid);
  text_if_known(record, "comm", event.comm);
  text_if_known(record, "exe", event.exe);
  if (!event.cmdline.empty()) record.texts("cmdline", event.cmdline);
  add_start(record, event.start_ns);
  if (event.ns_pid > 0) record.integer("ns_pid", event.ns_pid);
  if (event.uid) record.number("uid", *event.uid);
  text_if_known(record, "user", event.user);
  text_if_known(record, "container_id", event.container);
  if (event.exit_code || event.exit_signal) {
    number_or_null(record, "exit_code", event.exit_code);
    number_or_null(record, "signal", event.exit_signal);
  }
  return write(record);
}

Result<void> NdjsonWriter::process_ended(const heap::ProcessSnapshot& process, const heap::Snapshot& moment) {
  return write_process(moment, process, false);
}

Result<void> NdjsonWriter::library(const LibraryEvent& event) {
  constexpr const char* kNames[] = {"load", "unload", "retire"};
  JsonRecord record("library");
  record.text("event", kNames[static_cast<std::size_t>(event.kind)]).times(event.unix_us, event.t_ns);
  if (event.pid > 0) record.integer("pid", event.pid);
  record.number("module", event.module).text("state", event.state);
  record.begin_object("identity")
      .text("device", event.identity.device)
      .number("inode", event.identity.inode)
      .number("generation", event.identity.generation)
      // Seconds; as text, since many readers lose digits of numbers above 2^53.
      .text("changed",
            fmt::format("{}.{:09}", event.identity.changed_ns / kNsPerSecond, event.identity.changed_ns % kNsPerSecond))
      .text("by", event.identity.told_by)
      .end_object();
  record.text("path", event.path);
  text_if_known(record, "build_id", event.build_id);
  if (event.end > 0)
    record.address("start", event.start).address("end", event.end).number("file_offset", event.file_offset);
  if (event.kind == LibraryEvent::Kind::kLoad) record.texts("probes", event.probes);
  if (event.armed_ns) record.number("armed_us", *event.armed_ns / 1000);
  return write(record);
}

Result<void> NdjsonWriter::recording(const RecordingEvent& event) {
  JsonRecord record("recording");
  record.text("event", event.enabled ? "enabled" : "disabled").times(event.unix_us, event.t_ns);
  if (event.enabled) {
    record.number("paused_ns", event.paused_ns)
        .number("unverified_bytes", event.unverified_bytes)
        .number("unverified_objects", event.unverified_objects);
  }
  return write(record);
}

Result<void> NdjsonWriter::diagnostic(const Diagnostic& diagnostic) {
  JsonRecord record("diagnostic");
  record.times(diagnostic.unix_us, diagnostic.t_ns).text("severity", diagnostic.severity);
  record.text("code", diagnostic.code).text("message", diagnostic.message);
  text_if_known(record, "hint", diagnostic.hint);
  if (diagnostic.pid > 0) record.integer("pid", diagnostic.pid);
  return write(record);
}

Result<void> NdjsonWriter::snapshot(const heap::Snapshot& snapshot) {
  if (Result<void> done = write_losses(snapshot); !done) return done;
  if (snapshot.machine) {
    const std::vector<const heap::ProcessSnapshot*> active = activity_.choose(snapshot);
    for (const heap::ProcessSnapshot* process : active) {
      if (Result<void> done = write_process(snapshot, *process, false); !done) return done;
    }
    return write_machine(snapshot, active.size());
  }
  for (const heap::ProcessSnapshot& process : snapshot.processes) {
    if (Result<void> done = write_process(snapshot, process, false); !done) return done;
  }
  return {};
}

Result<void> NdjsonWriter::finish(const heap::Snapshot& snapshot, const Summary& summary) {
  if (Result<void> done = write_losses(snapshot); !done) return done;
  for (const heap::ProcessSnapshot& process : snapshot.processes) {
    if (Result<void> done = write_process(snapshot, process, true); !done) return done;
    if (Result<void> done = write_sites(process); !done) return done;
  }
  if (Result<void> done = write_machine(snapshot, snapshot.processes.size()); !done) return done;
  for (const heap::ProcessSnapshot& process : snapshot.processes) {
    if (Result<void> done = write_leaks(snapshot, process); !done) return done;
  }
  for (const Diagnostic& note : symbol_notes(*context_.symbolizer, snapshot)) {
    if (Result<void> done = diagnostic(note); !done) return done;
  }
  return write_summary(snapshot, summary);
}

Result<void> NdjsonWriter::write_losses(const heap::Snapshot& snapshot) {
  for (std::size_t i = 0; i < heap::kLossCount; ++i) {
    const std::uint64_t total = snapshot.losses[i];
    if (total <= written_losses_[i]) continue;
    const auto loss = static_cast<heap::Loss>(i);
    JsonRecord record("lost");
    record.times(snapshot.unix_us, snapshot.t_ns).text("reason", heap::loss_name(loss));
    record.number("count", total - written_losses_[i]).number("total", total).text("hint", heap::loss_hint(loss));
    if (Result<void> done = write(record); !done) return done;
    written_losses_[i] = total;
  }
  return {};
}

Result<void> NdjsonWriter::write_process(const heap::Snapshot& snapshot, const heap::ProcessSnapshot& process,
                                         bool is_last) {
  Result<Sites> ranked = describe_sites(process, Rank::kAll, is_last);
  if (!ranked) return std::move(ranked).error();
  Result<Sites> mapped = describe_sites(process, Rank::kMapped, is_last);
  if (!mapped) return std::move(mapped).error();
  Result<Sites> touched = describe_sites(process, Rank::kTouched, is_last);
  if (!touched) return std::move(touched).error();
  if (Result<void> done = write_anomalies(snapshot, process, is_last); !done) return done;
  JsonRecord record("snapshot");
  record.number("seq", snapshot.seq).times(snapshot.unix_us, snapshot.t_ns);
  record.integer("pid", process.pid);
  add_start(record, process.start_ns);
  if (process.execs != 0) record.number("execs", process.execs);
  record.text("comm", process.comm);
  text_if_known(record, "exe", process.exe);
  text_if_known(record, "user", process.user);
  text_if_known(record, "container_id", process.container);
  if (process.ns_pid > 0) record.integer("ns_pid", process.ns_pid);
  record.flag("exited", process.exited);
  totals(record, process);
  const auto allocates = [](const heap::SiteTotals& site) { return site.alloc_objects != 0; };
  record.number("rss_bytes", process.rss_bytes)
      .number("stacks_total", static_cast<std::uint64_t>(std::ranges::count_if(process.sites, allocates)));
  record.number("lost_events_total", heap::total(snapshot.losses)).flag("complete", snapshot.complete());
  if (process.mapped)
    record.number("mapped_bytes", process.mapped->program_bytes)
        .number("allocator_mapped_bytes", process.mapped->allocator_bytes);
  if (process.touched_bytes) record.number("touched_bytes", *process.touched_bytes);
  record.begin_array("top");
  for (const heap::SiteTotals* site : *ranked) {
    record.begin_element()
        .number("stack_id", site->stack_id)
        .number("live_bytes", site->live_bytes())
        .number("live_objects", site->live_objects())
        .number("unverified_bytes", site->unverified_bytes)
        .number("unverified_objects", site->unverified_objects)
        .number("alloc_bytes_total", site->alloc_bytes)
        .number("alloc_objects_total", site->alloc_objects);
    if (process.estimated) record.number("error_bytes", heap::standard_error(site->live_variance));
    record.end_object();
  }
  record.end_array();
  if (process.mapped) add_memory_sites(record, "top_mapped", "mapped_bytes", *mapped, &heap::SiteTotals::mapped_bytes);
  if (process.touched_bytes)
    add_memory_sites(record, "top_touched", "touched_bytes", *touched, &heap::SiteTotals::touched_bytes);
  return write(record);
}

/// Those that are new, or have come again since they were written last.
Result<void> NdjsonWriter::write_anomalies(const heap::Snapshot& snapshot, const heap::ProcessSnapshot& process,
                                           bool is_last) {
  for (const heap::Anomaly& anomaly : process.anomalies) {
    const std::array stacks{anomaly.stack_id, anomaly.alloc_stack_id, anomaly.first_free_stack_id};
    const auto is_unresolved = [&](heap::StackId id) { return id != 0 && context_.stack(id) == nullptr; };
    if (!is_last && std::ranges::any_of(stacks, is_unresolved)) continue;
    std::uint64_t& written = written_anomalies_[{process.identity(), anomaly.type, stacks}];
    if (written == anomaly.count) continue;
    for (const heap::StackId id : stacks) {
      if (id == 0) continue;
      if (Result<void> done = write_stack(id); !done) return done;
    }
    JsonRecord record("anomaly");
    record.times(snapshot.unix_us, snapshot.t_ns).text("kind", anomaly_name(anomaly.type)).integer("pid", process.pid);
    record.number("count", anomaly.count - written).number("total", anomaly.count);
    record.address("address", anomaly.address).number("size", anomaly.size_bytes);
    if (anomaly.type == heap::Anomaly::Type::kInside) record.number("offset", anomaly.offset_bytes);
    if (anomaly.type == heap::Anomaly::Type::kMismatch)
      record.text("allocated_by", kind_name(anomaly.alloc_kind)).text("freed_by", kind_name(anomaly.free_kind));
    record.number("stack_id", anomaly.stack_id).number("alloc_stack_id", anomaly.alloc_stack_id);
    if (anomaly.type == heap::Anomaly::Type::kDoubleFree)
      record.number("first_free_stack_id", anomaly.first_free_stack_id);
    if (Result<void> done = write(record); !done) return done;
    written = anomaly.count;
  }
  return {};
}

/// The stacks of a rank, each described before it is mentioned.
Result<NdjsonWriter::Sites> NdjsonWriter::describe_sites(const heap::ProcessSnapshot& process, Rank rank,
                                                         bool is_last) {
  Ranking ranking = view_.rank(process, rank);
  // A stack is described once. One that is about to be resolved waits for the next snapshot; the last has none.
  if (!is_last) {
    std::erase_if(ranking.shown, [&](const heap::SiteTotals* site) {
      return site->stack_id != 0 && context_.stack(site->stack_id) == nullptr;
    });
  }
  for (const heap::SiteTotals* site : ranking.shown) {
    if (Result<void> done = write_stack(site->stack_id); !done) return std::move(done).error();
  }
  return std::move(ranking.shown);
}

void NdjsonWriter::add_memory_sites(JsonRecord& record, const char* array, const char* name, const Sites& sites,
                                    std::uint64_t heap::SiteTotals::*bytes) {
  record.begin_array(array);
  for (const heap::SiteTotals* site : sites)
    record.begin_element().number("stack_id", site->stack_id).number(name, site->*bytes).end_object();
  record.end_array();
}

/// Nothing unless the run is one of the whole machine. `snapshots`: how many processes were written for this moment.
Result<void> NdjsonWriter::write_machine(const heap::Snapshot& snapshot, std::size_t snapshots) {
  if (!snapshot.machine) return {};
  JsonRecord record("machine");
  record.number("seq", snapshot.seq).times(snapshot.unix_us, snapshot.t_ns).number("snapshots", snapshots);
  add_machine(record, *snapshot.machine);
  totals(record, snapshot.machine->counters);
  record.number("lost_events_total", heap::total(snapshot.losses)).flag("complete", snapshot.complete());
  return write(record);
}

void NdjsonWriter::add_start(JsonRecord& record, std::uint64_t start_ns) const {
  if (start_ns != 0 && boot_unix_us_ != 0) record.time("start_ts", boot_unix_us_ + start_ns / 1000);
}

Result<void> NdjsonWriter::write_stack(heap::StackId id) {
  if (!written_stacks_.insert(id).second) return {};
  const heap::Stack* stack = context_.stack(id);
  const heap::StackEnd end = stack == nullptr ? heap::StackEnd::kNotRecorded : stack->end;
  if (stack != nullptr) {
    if (Result<void> done = write_modules(*stack); !done) return done;
  }
  JsonRecord record("stack");
  record.number("stack_id", id).begin_array("frames");
  if (stack != nullptr) {
    for (const heap::Frame& frame : stack->frames) add_frame(record, frame);
  }
  record.end_array().flag("complete", end == heap::StackEnd::kComplete).text("end", heap::stack_end_name(end));
  return write(record);
}

/// A path alone does not say which file: an upgrade puts another one there.
Result<void> NdjsonWriter::write_modules(const heap::Stack& stack) {
  for (const heap::Frame& frame : stack.frames) {
    if (frame.module == heap::kNoModule || !written_modules_.insert(frame.module).second) continue;
    JsonRecord record("module");
    record.number("module_id", frame.module).text("path", context_.symbolizer->module_path(frame.module));
    text_if_known(record, "build_id", context_.symbolizer->module_build_id(frame.module));
    if (Result<void> done = write(record); !done) return done;
  }
  return {};
}

/// All that is known of each stack: what other formats are made from later.
Result<void> NdjsonWriter::write_sites(const heap::ProcessSnapshot& process) {
  for (const heap::SiteTotals* site : whole_view_.rank(process, Rank::kAll).shown) {
    if (Result<void> done = write_stack(site->stack_id); !done) return done;
    JsonRecord record("site");
    record.integer("pid", process.pid)
        .number("stack_id", site->stack_id)
        .number("live_bytes", site->live_bytes())
        .number("live_objects", site->live_objects())
        .number("alloc_bytes_total", site->alloc_bytes)
        .number("alloc_objects_total", site->alloc_objects)
        .number("free_bytes_total", site->free_bytes)
        .number("free_objects_total", site->free_objects)
        .number("young_bytes", site->young_bytes)
        .number("young_objects", site->young_objects)
        .number("unverified_bytes", site->unverified_bytes)
        .number("unverified_objects", site->unverified_objects)
        .number("mean_age_ns", site->mean_age_ns);
    if (process.estimated) record.real("live_variance", site->live_variance);
    add_trend(record, site->trend);
    if (Result<void> done = write(record); !done) return done;
  }
  return {};
}

void NdjsonWriter::add_frame(JsonRecord& record, const heap::Frame& frame) {
  for (const symbols::SourceFrame& source : context_.symbolizer->symbolize(frame)) {
    record.begin_element();
    if (frame.ip != 0) record.address("ip", frame.ip);
    record.text("func", source.function);
    if (source.mangled != source.function) text_if_known(record, "mangled", source.mangled);
    text_if_known(record, "file", source.file);
    if (source.line != 0) record.number("line", source.line);
    record.flag("inline", source.inlined);
    if (frame.module != heap::kNoModule) {
      record.text("module", context_.symbolizer->module_path(frame.module));
      record.address("module_offset", frame.module_address).number("module_id", frame.module);
    }
    if (frame.exact) record.flag("exact", true);
    if (frame.by_frame_pointer) record.text("by", "frame_pointer");
    record.end_object();
  }
}

Result<void> NdjsonWriter::write_leaks(const heap::Snapshot& snapshot, const heap::ProcessSnapshot& process) {
  for (const heap::SiteTotals* site : view_.rank(process, Rank::kLeaked).shown) {
    if (Result<void> done = write_stack(site->stack_id); !done) return done;
    JsonRecord record("leak");
    record.times(snapshot.unix_us, snapshot.t_ns).integer("pid", process.pid).number("stack_id", site->stack_id);
    record.number("bytes", site->leak_bytes()).number("objects", site->leak_objects());
    record.number("mean_age_ns", site->mean_age_ns).number("alloc_objects_total", site->alloc_objects);
    record.number("free_objects_total", site->free_objects).flag("estimated", process.estimated);
    if (process.estimated) record.number("error_bytes", heap::standard_error(heap::leak_variance(*site)));
    verdict(record, *site);
    if (Result<void> done = write(record); !done) return done;
  }
  return {};
}

Result<void> NdjsonWriter::write_summary(const heap::Snapshot& snapshot, const Summary& summary) {
  const LeakTotals leaks = leak_totals(snapshot.processes, view_);
  JsonRecord record("summary");
  record.times(snapshot.unix_us, snapshot.t_ns).text("reason", summary.reason);
  record.number("duration_ns", summary.duration_ns).number("pauses", summary.pauses);
  const std::optional<heap::MachineTotals>& machine = snapshot.machine;
  record.number("paused_ns", summary.paused_ns);
  record.number("processes", machine ? machine->processes_seen_total : snapshot.processes.size());
  totals(record, machine ? machine->counters : sum_of(snapshot.processes));
  record.number("leaks", leaks.sites).number("leaked_bytes", leaks.bytes);
  if (context_.suppressions)
    record.number("suppressed_leaks", leaks.suppressed.sites).number("suppressed_bytes", leaks.suppressed.bytes);
  record.number("lost_events_total", heap::total(snapshot.losses)).flag("complete", snapshot.complete());
  return write(record);
}

}  // namespace

std::unique_ptr<Writer> make_ndjson_writer(Output& output, Context context) {
  return std::make_unique<NdjsonWriter>(output, std::move(context));
}

}  // namespace tracer::report
