// SPDX-License-Identifier: Apache-2.0
// What each kind of record says: docs/ndjson.md.
#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "heap/loss.h"
#include "recording/recording.h"

namespace tracer::recording {
namespace {

constexpr std::string_view kSchema = "tracer/1";

/// What a record of a stack has of its blocks. `live` and `free` are told both; what is live is what counts.
heap::SiteTotals site_of(const Fields& record) {
  heap::SiteTotals site;
  site.stack_id = static_cast<heap::StackId>(record.small("stack_id"));
  site.alloc_objects = record.count("alloc_objects_total");
  site.alloc_bytes = record.count("alloc_bytes_total");
  const std::uint64_t live_objects = record.count("live_objects");
  const std::uint64_t live_bytes = record.count("live_bytes");
  if (live_objects > site.alloc_objects || live_bytes > site.alloc_bytes)
    record.complain("more is live than was allocated");
  site.free_objects = site.alloc_objects - std::min(live_objects, site.alloc_objects);
  site.free_bytes = site.alloc_bytes - std::min(live_bytes, site.alloc_bytes);
  site.unverified_objects = record.count_or("unverified_objects", 0);
  site.unverified_bytes = record.count_or("unverified_bytes", 0);
  return site;
}

heap::Course course_named(const std::string& name, const Fields& record) {
  for (std::size_t i = 0; i < heap::kCourseCount; ++i) {
    const auto course = static_cast<heap::Course>(i);
    if (name == heap::course_name(course)) return course;
  }
  record.complain("'course' is not known");
  return heap::Course::kUnknown;
}

heap::Trend trend_of(const Fields& record) {
  heap::Trend trend;
  trend.course = course_named(record.text("course"), record);
  trend.growth_bytes_per_s = record.real_or("growth_bytes_per_s", 0);
  trend.growth_error = record.real_or("growth_error_bytes_per_s", 0);
  trend.observed_ns = record.count("observed_ns");
  trend.quiet_ns = record.count_or("quiet_ns", 0);
  trend.peak_bytes = record.count_or("peak_bytes", 0);
  trend.freed_after_ns = record.count_or("freed_after_ns", 0);
  std::size_t i = 0;
  record.each("stayed_bytes", [&](const rapidjson::Value& value) {
    if (value.IsUint64() && i < trend.stayed.size()) trend.stayed[i++] = value.GetUint64();
  });
  return trend;
}

void read_counters(const Fields& record, heap::HeapCounters& counters) {
  counters.live_bytes = record.count("live_bytes");
  counters.live_objects = record.count("live_objects");
  counters.unverified_bytes = record.count_or("unverified_bytes", 0);
  counters.unverified_objects = record.count_or("unverified_objects", 0);
  counters.alloc_bytes_total = record.count("alloc_bytes_total");
  counters.alloc_objects_total = record.count("alloc_objects_total");
  counters.free_bytes_total = record.count("free_bytes_total");
  counters.free_objects_total = record.count("free_objects_total");
  counters.failed_objects_total = record.count_or("failed_objects_total", 0);
  counters.peak_bytes = record.count_or("peak_bytes", 0);
  counters.estimated = record.flag_or("estimated", false);
  if (!counters.estimated) counters.free_unknown_total = record.count_or("free_unknown_total", 0);
  const auto error = static_cast<double>(record.count_or("error_bytes", 0));
  counters.live_variance = error * error;
  record.each_count("stack_ends", [&](const std::string& name, std::uint64_t count) {
    for (std::size_t i = 0; i < heap::kStackEndCount; ++i) {
      if (name == heap::stack_end_name(static_cast<heap::StackEnd>(i))) counters.stack_ends[i] = count;
    }
  });
}

}  // namespace

Result<void> Recording::read_header(const Fields& record) {
  if (has_header_) return malformed("a second header: two recordings in one file");
  if (const std::string schema = record.text("schema"); record.is_good() && schema != kSchema)
    return Error(ErrorKind::kUnsupported, fmt::format("the recording follows '{}', not '{}'", schema, kSchema),
                 "convert it with the version of tracer that made it");
  run_.unix_us = record.time("ts");
  const Fields host = record.object("host");
  run_.host = {host.text_or("name"),
               host.text_or("arch"),
               host.text_or("kernel"),
               host.text_or("boot_id"),
               host.count_or("cpus", 0),
               host.count_or("page_bytes", 4096),
               host.count_or("memory_bytes", 0)};
  run_.argv = record.texts_or_none("argv");
  run_.mode = record.text("mode");
  record.each("pids", [&](const rapidjson::Value& pid) {
    if (pid.IsInt())
      run_.pids.push_back(pid.GetInt());
    else
      record.complain("'pids' holds something that is no process id");
  });
  const Fields config = record.object("config");
  run_.interval_ns = config.count_or("interval_ns", 0);
  run_.sample_bytes = config.count_or("sample_bytes", 0);
  run_.min_size_bytes = config.count_or("min_size", 0);
  run_.max_size_bytes = config.count_or("max_size", 0);
  run_.older_ns = config.count_or("older_ns", 0);
  run_.top = static_cast<unsigned>(config.small_or("top", 0));
  run_.max_stack = static_cast<unsigned>(config.small_or("max_stack", 0));
  run_.unwind = config.text_or("unwind");
  run_.backend = config.text_or("backend");
  run_.include = config.text_or("include");
  run_.exclude = config.text_or("exclude");
  run_.by = heap::group_by_named(config.text_or("by", "process")).value_or(heap::GroupBy::kProcess);
  exited_ = heap::ExitedBooks(run_.by);
  last_.unix_us = run_.unix_us;
  has_header_ = record.is_good();
  return has_header_ && on_header ? on_header() : Result<void>();
}

Result<void> Recording::read_process(const Fields& record) {
  using Kind = report::ProcessEvent::Kind;
  constexpr std::pair<const char*, Kind> kKinds[] = {
      {"attach", Kind::kAttach}, {"fork", Kind::kFork}, {"exec", Kind::kExec}, {"exit", Kind::kExit}};
  report::ProcessEvent event;
  const std::string kind = record.text("event");
  for (const auto& [name, value] : kKinds) {
    if (kind == name) event.kind = value;
  }
  event.unix_us = record.time("ts");
  event.t_ns = record.count("t_ns");
  event.pid = record.small("pid");
  event.parent_pid = record.small_or("ppid", 0);
  event.comm = record.text_or("comm");
  event.exe = record.text_or("exe");
  event.cmdline = record.texts_or_none("cmdline");
  event.user = record.text_or("user");
  event.container = record.text_or("container_id");
  event.exit_code = record.integer_or_null("exit_code");
  event.exit_signal = record.integer_or_null("signal");
  if (!record.is_good()) return {};
  return tell([&](report::Writer& writer) { return writer.process(event); });
}

Result<void> Recording::read_recording(const Fields& record) {
  report::RecordingEvent event;
  event.enabled = record.text("event") == "enabled";
  event.unix_us = record.time("ts");
  event.t_ns = record.count("t_ns");
  event.paused_ns = record.count_or("paused_ns", 0);
  event.unverified_objects = record.count_or("unverified_objects", 0);
  event.unverified_bytes = record.count_or("unverified_bytes", 0);
  if (!record.is_good()) return {};
  return tell([&](report::Writer& writer) { return writer.recording(event); });
}

Result<void> Recording::read_diagnostic(const Fields& record) {
  const report::Diagnostic diagnostic{record.text("severity"),  record.text("code"),  record.text("message"),
                                      record.text_or("hint"),   record.count("t_ns"), record.time("ts"),
                                      record.small_or("pid", 0)};
  if (!record.is_good()) return {};
  return tell([&](report::Writer& writer) { return writer.diagnostic(diagnostic); });
}

Result<void> Recording::read_module(const Fields& record) {
  names_.add_module(record);
  return {};
}

Result<void> Recording::read_stack(const Fields& record) {
  names_.add_stack(record);
  return {};
}

Result<void> Recording::read_snapshot(const Fields& record) {
  heap::ProcessSnapshot process;
  const std::uint64_t seq = record.count("seq");
  process.pid = record.small("pid");
  process.start_ns = record.time_or("start_ts", 0) * 1000;
  process.execs = static_cast<std::uint32_t>(record.small_or("execs", 0));
  process.comm = record.text_or("comm");
  process.exe = record.text_or("exe");
  process.user = record.text_or("user");
  process.container = record.text_or("container_id");
  process.ns_pid = record.small_or("ns_pid", 0);
  process.exited = record.flag_or("exited", false);
  process.rss_bytes = record.count_or("rss_bytes", 0);
  read_counters(record, process);
  // Of the stacks only what a snapshot tells of them, until they are told one by one.
  record.each("top", [&](const rapidjson::Value& value) {
    std::string problem;
    process.sites.push_back(site_of(Fields(value, &problem)));
    if (!problem.empty()) record.complain(problem);
  });
  const std::uint64_t unix_us = record.time("ts");
  const std::uint64_t t_ns = record.count("t_ns");
  current_ = nullptr;
  if (!record.is_good()) return {};
  if (seq > last_.seq) programs_.clear();
  last_.seq = std::max(last_.seq, seq);
  last_.unix_us = unix_us;
  last_.t_ns = t_ns;
  keep(std::move(process), seq);
  return {};
}

Result<void> Recording::read_site(const Fields& record) {
  heap::SiteTotals site = site_of(record);
  site.young_objects = record.count_or("young_objects", 0);
  site.young_bytes = record.count_or("young_bytes", 0);
  site.mean_age_ns = record.count_or("mean_age_ns", 0);
  site.live_variance = record.real_or("live_variance", 0);
  if (record.has("trend")) site.trend = trend_of(record.object("trend"));
  const std::int32_t pid = record.small("pid");
  if (!record.is_good()) return {};
  if (current_ == nullptr || current_->process.pid != pid) {
    record.complain("there is no snapshot of this process before it");
    return {};
  }
  if (!std::exchange(current_->has_sites, true)) current_->process.sites.clear();
  current_->process.sites.push_back(site);
  return {};
}

Result<void> Recording::read_machine(const Fields& record) {
  heap::MachineTotals machine;
  machine.processes_seen_total = record.count("processes_seen_total");
  machine.processes_exited_total = record.count("processes_exited_total");
  machine.processes_live = record.count("processes_live");
  machine.held_at_exit_objects_total = record.count("held_at_exit_objects_total");
  machine.held_at_exit_bytes_total = record.count("held_at_exit_bytes_total");
  machine.rss_bytes = record.count("rss_bytes");
  read_counters(record, machine.counters);
  if (record.is_good()) last_.machine = machine;
  return {};
}

Result<void> Recording::read_lost(const Fields& record) {
  const std::string reason = record.text("reason");
  const std::uint64_t total = record.count("total");
  for (std::size_t i = 0; i < heap::kLossCount; ++i) {
    if (reason == heap::loss_name(static_cast<heap::Loss>(i))) last_.losses[i] = total;
  }
  return {};
}

Result<void> Recording::read_summary(const Fields& record) {
  report::Summary summary{record.text("reason"), record.count("duration_ns"), record.count_or("pauses", 0),
                          record.count_or("paused_ns", 0)};
  last_.unix_us = record.time("ts");
  last_.t_ns = record.count("t_ns");
  if (record.is_good()) summary_ = std::move(summary);
  return {};
}

}  // namespace tracer::recording
