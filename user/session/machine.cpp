// SPDX-License-Identifier: Apache-2.0
// What a run of the whole machine does otherwise: processes are adopted by the kernel half when they allocate, and
// forgotten when they end.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "session/session_impl.h"
#include "session/session_write.h"

namespace tracer::session {
namespace {

constexpr std::uint64_t kLookPeriodNs = 1'000'000'000;
// Of so many processes each gets probes of its own.
constexpr std::size_t kFewProcesses = 16;
// Recording does not wait for the unwind tables of the whole machine: what has none yet is finished later.
constexpr std::uint64_t kLongestTableWaitNs = 1'500'000'000;
// How often mappings are read for stacks that wait for them.
constexpr std::uint64_t kReadPeriodNs = 100'000'000;

/// Each file of the machine is held open, and once more for its names.
void raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// What /proc says of a process that has gone on meanwhile may be of its next program, or of another process of that
/// pid: the kernel half has looked when it happened.
void forget_what_came_later(const tr_origin& origin, proc::ProcessInfo& info) {
  constexpr std::uint64_t kTickNs = 10'000'000;  // what /proc rounds to
  if (origin.started_ns == 0) return;
  const std::uint64_t started_ns = origin.started_ns / kTickNs * kTickNs;
  const std::string comm(origin.comm, ::strnlen(origin.comm, sizeof(origin.comm)));
  if (info.start_ns != started_ns) {
    const pid_t pid = info.pid;
    info = {};
    info.pid = pid;
  } else if (info.comm != comm) {
    info.exe.clear();
    info.cmdline.clear();
  }
  info.start_ns = started_ns;
  info.comm = comm;
}

}  // namespace

/// Few processes are attached one by one, so that nobody else pays; with many, or when all are wanted, probes for all
/// processes are cheaper, and miss nothing at the start of one.
Result<void> Session::choose_arming() {
  if (!config_.all || config_.filter.empty()) return {};
  Result<proc::ProcessMatcher> matcher = proc::ProcessMatcher::create(config_.filter);
  if (!matcher) return std::move(matcher).error();
  const std::size_t found = matcher->find(kFewProcesses + 1).size();
  if (found > kFewProcesses) {
    log::verbose("more than {} processes pass the filters", kFewProcesses);
    return {};
  }
  log::verbose("{} processes pass the filters: each gets probes of its own, and so will new ones", found);
  matcher_ = std::move(*matcher);
  return {};
}

/// First the news, then what is there: nothing is missed in between.
Result<void> Session::watch_mappings() {
  raise_file_limit();
  if (Result<proc::CgroupTree> tree = proc::CgroupTree::open(); tree) cgroups_ = std::move(*tree);
  Result<kernel::MappingEvents> events = kernel::MappingEvents::open();
  if (!events) return std::move(events).error();
  mapping_events_ = std::move(*events);
  for (const int fd : mapping_events_->fds()) {
    if (Result<void> added = loop_->add(fd, [this] { drain_mappings(); }); !added) return added;
  }
  return {};
}

Result<void> Session::attach_matching() {
  if (Result<void> watching = watch_mappings(); !watching) return watching;
  attach_all_found();
  return {};
}

void Session::attach_all_found() {
  const std::uint64_t now = monotonic_ns();
  for (const pid_t pid : matcher_->find(TR_MAX_SPACES)) attach_found(pid, now);
}

/// A process that passes the filters. One that ends meanwhile is nothing to speak of.
void Session::attach_found(pid_t pid, std::uint64_t since_ns) {
  // Attached already, or a child of a traced process, whose event is on its way.
  if (object_->knows_process(pid)) return;
  const Result<std::uint32_t> space = object_->add_process(pid, 0);
  if (!space) return log::verbose("pid {}: {}", pid, space.error().message());
  tracing::TracedProcess& process = tracker_->add(pid, *space);
  identify(process);
  emit(report::ProcessEvent::Kind::kAttach, process);
  refresh(process, since_ns);
}

void Session::on_mapping(const kernel::MappingEvent& event) {
  if (adopts()) return files_->on_mapping(event);
  // A thread's id is that of its process here.
  if (const tracing::TracedProcess* known = tracker_->find_live(event.pid))
    changed_.try_emplace(known->space, event.time_ns);
  else if (matcher_->matches(event.pid))
    attach_found(event.pid, event.time_ns);
}

Result<void> Session::attach_machine() {
  if (Result<void> excluded = object_->exclude_process(::getpid()); !excluded) return excluded;
  for (const pid_t pid : config_.filter.excluded_pids) {
    if (Result<void> excluded = object_->exclude_process(pid); !excluded) return excluded;
  }
  if (Result<void> watching = watch_mappings(); !watching) return watching;
  files_.emplace(*object_, *tracker_);
  return files_->scan();
}

void Session::wait_for_tables_of_machine() {
  if (unwind_tables_ && !unwind_tables_->wait(kLongestTableWaitNs))
    log::verbose("unwind tables are still being made; stacks that need them are finished later");
}

void Session::drain_mappings() {
  const std::uint64_t lost = mapping_events_->drain([this](const kernel::MappingEvent& event) { on_mapping(event); });
  if (!adopts()) refresh_changed();
  if (lost == 0) return;
  log::verbose("{} new mappings came faster than they could be read: looking at all processes", lost);
  if (!adopts()) return attach_all_found();
  if (Result<void> read = files_->scan(); !read) log::verbose("{}", read.error().message());
}

/// The kernel half has begun to trace a process.
void Session::process_adopted(std::uint32_t space, pid_t pid) {
  if (tracker_->find_space(space) != nullptr) return;
  tracing::TracedProcess& process = tracker_->add(pid, space);
  identify(process);
  emit(report::ProcessEvent::Kind::kAttach, process);
}

/// Events that found no room in the ring: what they would have told is read from the tables.
void Session::adopt_missed() {
  const std::uint64_t lost = object_->globals().losses[TR_LOSS_EVENTS_FULL];
  if (lost == events_lost_) return;
  events_lost_ = lost;
  for (std::uint32_t space = 1, count = object_->space_count(); space < count; ++space) {
    const tr_space& known = object_->spaces()[space];
    if (known.users > 0) process_adopted(space, static_cast<pid_t>(known.tgid));
  }
}

/// Says who a process is, by what it says itself and what the kernel half wrote down when it was still there.
void Session::identify(tracing::TracedProcess& process) {
  const tr_origin& origin = object_->origins()[process.space];
  proc::ProcessInfo& info = process.info;
  forget_what_came_later(origin, info);
  if (info.parent_pid == 0) info.parent_pid = static_cast<pid_t>(origin.parent_tgid);
  if (!info.uid && origin.started_ns != 0) info.uid = origin.uid;
  if (info.uid) process.user = users_.name_of(*info.uid);
  if (const auto found = execs_.find(process.pid); found != execs_.end()) process.execs = found->second;
  if (const Result<proc::CgroupPlace> place = proc::read_cgroup(process.pid)) {
    process.cgroup = place->path;
    process.container = place->container;
  } else if (cgroups_ && origin.cgroup_id != 0) {
    process.cgroup = cgroups_->path_of(origin.cgroup_id);
    process.container = proc::container_of_cgroup(process.cgroup);
  }
}

/// A program has ended, by exec or exit.
void Session::program_ended(const tr_event& event) {
  const auto pid = static_cast<pid_t>(event.tgid);
  const bool is_exec = event.type == TR_EVENT_EXEC;
  if (is_exec)
    ++execs_[pid];
  else
    execs_.erase(pid);
  tracing::TracedProcess* process = tracker_->find_space(event.space);
  // A child of vfork that leaves its parent's heap.
  if (process == nullptr || process->ended || process->pid != pid) return;
  report::ProcessEvent details;
  const int status = static_cast<int>(event.value);
  if (!is_exec && WIFEXITED(status)) details.exit_code = WEXITSTATUS(status);
  if (!is_exec && WIFSIGNALED(status)) details.exit_signal = WTERMSIG(status);
  emit(is_exec ? report::ProcessEvent::Kind::kExec : report::ProcessEvent::Kind::kExit, *process, &details);
  end_program(*process);
}

void Session::end_program(tracing::TracedProcess& process) {
  tracker_->end(process);
  has_ended_ = true;
}

/// What is left of a program that has ended: its last snapshot, and a part of the sums.
void Session::keep_ended(tracing::TakenStock stock) {
  dead_blocks_ += stock.process.live_objects;
  histories_.judge(stock.process, since_start_ns());
  histories_.forget(stock.process.identity());
  // The last report of other runs says what was missing.
  if (config_.all) symbolizer_.forget_process(stock.process.pid);
  if (!config_.all) return ended_.push_back(std::move(stock));
  heap::Snapshot moment;
  moment.seq = snapshots_;
  moment.t_ns = since_start_ns();
  moment.unix_us = unix_us();
  for (std::size_t i = 0; i < heap::kLossCount; ++i) {
    ended_losses_[i] += stock.losses[i];
    moment.losses[i] = object_->globals().losses[i] + ended_losses_[i];
  }
  if (stock.process.is_idle()) return;
  exited_books_.add(stock.process);
  write([&](report::Writer& writer) { return writer.process_ended(stock.process, moment); });
}

/// Reads the mappings of processes some of whose stacks cannot be finished without.
void Session::read_mappings_for_stacks() {
  const std::uint64_t now = monotonic_ns();
  if (now - last_read_ns_ < kReadPeriodNs) return;
  last_read_ns_ = now;
  for (const auto& [space, process] : tracker_->processes()) {
    if (process->is_live() && !process->unresolved.empty()) refresh(*process, now);
  }
}

void Session::tick_machine(std::uint64_t now) {
  adopt_missed();
  for (const auto& [space, process] : tracker_->processes()) {
    if (!process->ended && object_->spaces()[space].users == 0) end_program(*process);
  }
  if (now - last_look_ns_ < kLookPeriodNs) return;
  last_look_ns_ = now;
  files_->let_go_of_unmapped(std::exchange(has_ended_, false));
}

}  // namespace tracer::session
