// SPDX-License-Identifier: Apache-2.0
#include "session/session.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <thread>

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "report/site_view.h"
#include "report/totals.h"
#include "session/session_impl.h"
#include "session/session_write.h"

namespace tracer::session {
namespace {

constexpr std::uint64_t kTooCloseNs = 100'000'000;

/// Whether another Ctrl-C came while the last report was made.
bool is_interrupted_again() {
  sigset_t interrupt;
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  const timespec now{};
  return ::sigtimedwait(&interrupt, nullptr, &now) == SIGINT;
}

}  // namespace

Result<Outcome> Session::run() {
  start_ns_ = monotonic_ns();
  for (auto step : {&Session::open_control, &Session::open_outputs, &Session::choose_arming, &Session::load_kernel_half,
                    &Session::start_loop}) {
    if (Result<void> done = (this->*step)(); !done) return std::move(done).error();
  }
  report::RunInfo run;
  run.argv = config_.argv;
  run.host = report::this_host();
  run.mode = config_.all ? "all" : config_.command.empty() ? "pid" : "command";
  run.filter = config_.filter;
  run.by = config_.by;
  run.boot_unix_us = boot_unix_us();
  run.pids = config_.pids;
  run.unix_us = unix_us();
  run.interval_ns = config_.interval_ns;
  run.older_ns = config_.older_ns;
  run.min_size_bytes = config_.min_size_bytes;
  run.max_size_bytes = config_.max_size_bytes;
  run.sample_bytes = config_.sample_bytes;
  run.top = config_.top;
  run.max_stack = config_.max_stack;
  run.include = config_.include;
  run.exclude = config_.exclude;
  run.unwind = config_.call_graph == CallGraph::kDwarf ? "dwarf" : "fp";
  run.backend = kernel::backend_name(backend_);
  write([&](report::Writer& writer) { return writer.begin(run); });

  if (Result<void> traced = trace(); !traced || outcome_.command_error) {
    detach().join();
    if (!traced) return std::move(traced).error();
    return outcome_;
  }
  if (Result<void> done = finish(); !done) return std::move(done).error();
  return outcome_;
}

/// From the first probe to the reason to stop.
Result<void> Session::trace() {
  for (auto step : {&Session::attach_targets, &Session::begin_recording}) {
    if (Result<void> done = (this->*step)(); !done) return done;
  }
  while (stop_reason_.empty()) {
    if (Result<void> waited = loop_->run_once(); !waited) return waited;
  }
  return {};
}

void Session::stop(const char* reason) {
  if (stop_reason_.empty()) stop_reason_ = reason;
}

/// Ends recording: from here on no call begins to count, and the programs that were running have finished.
void Session::end_recording() {
  __atomic_store_n(&object_->globals().recording, 0, __ATOMIC_RELEASE);
  // Waits until every processor has scheduled (membarrier(2)). On kernels with full preemption a program that was
  // interrupted may still add the one event that it was about to count.
  ::syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

/// Detaching waits for the kernel, most of all with one perf event per probe: the last report is made meanwhile.
std::jthread Session::detach() {
  end_recording();
  return std::jthread([links = armer_->disarm_all()]() mutable {
    const std::uint64_t begin_ns = monotonic_ns();
    kernel::detach_all(std::move(links));
    log::verbose("detached in {} ms", (monotonic_ns() - begin_ns) / 1'000'000U);
  });
}

Result<void> Session::finish() {
  const std::uint64_t end_ns = since_start_ns();
  const std::jthread detaching = detach();
  drain_events();
  if (unwind_tables_) unwind_tables_->wait();
  resolver_->finish();
  learn();
  settle_ended(true);
  count_unanswered();
  if (failure_) return std::move(*failure_);
  outcome_.aborted = outcome_.aborted || is_interrupted_again();
  if (outcome_.aborted) return {};
  if (const std::uint64_t nested = object_->globals().calls_nested; nested > 0)
    log::verbose("{} allocator calls inside of other allocator calls were counted with these", nested);
  for (const std::string& name : own_not_found())
    log::info("--allocator: no file that was mapped defines {}: nothing of it was counted", name);
  if (log::level() >= log::Level::kVerbose)
    log::verbose("{} blocks in the table of live blocks", format_count(object_->block_count()));
  // Nothing waits for us any more.
  symbolizer_.use(std::move(debuginfod_));
  const heap::Snapshot snapshot = build_snapshot(end_ns);
  const report::Summary summary{stop_reason_, start_ns_ + end_ns - began_ns_, pauses_, paused_ns()};
  write([&](report::Writer& writer) { return writer.finish(snapshot, summary); });
  report::SiteView view(context_);
  outcome_.leaks = report::leak_totals(snapshot.processes, view).sites;
  if (failure_) return std::move(*failure_);
  return outputs_->commit();
}

heap::Snapshot Session::build_snapshot(std::uint64_t t_ns) {
  heap::Snapshot snapshot =
      tracing::build_snapshot(books(), *tracker_, ended_, {++snapshots_, t_ns, config_.older_ns != 0});
  for (heap::ProcessSnapshot& process : snapshot.processes) {
    if (!process.exited && is_recording_) histories_.add(process, t_ns);
    // One that has ended was judged then.
    if (!process.exited || histories_.knows(process.identity())) histories_.judge(process, t_ns);
  }
  if (!config_.all) return snapshot;
  // What has ended is told when all is known of it.
  std::erase_if(snapshot.processes, [](const heap::ProcessSnapshot& process) { return process.exited; });
  for (std::size_t i = 0; i < heap::kLossCount; ++i) snapshot.losses[i] += ended_losses_[i];
  exited_books_.complete(snapshot);
  return snapshot;
}

/// Looks at the sites of each process between snapshots, to judge them by. What that costs is limited to a share of
/// the time.
void Session::sample_sites() {
  constexpr std::uint64_t kMostShare = 50;
  const std::uint64_t begin_ns = monotonic_ns();
  if (!is_recording_ || begin_ns < next_sample_ns_) return;
  for (const auto& [space, process] : tracker_->processes()) {
    const heap::HeapIdentity identity{process->pid, process->info.start_ns, process->execs};
    if (!process->is_live() || !histories_.is_due(identity, begin_ns - start_ns_)) continue;
    // Only live bytes are judged: what is mapped need not be added up twenty times a second.
    const tracing::Books heap_only{*object_, *resolver_};
    histories_.add(tracing::take_stock(heap_only, *process, false).process, begin_ns - start_ns_);
  }
  next_sample_ns_ = begin_ns + kMostShare * (monotonic_ns() - begin_ns);
}

void Session::take_periodic_snapshot() {
  // The last report is due at this very moment: one of the two is enough.
  if (config_.duration_ns && recording_ns_ != 0 && monotonic_ns() + kTooCloseNs >= recording_ns_ + *config_.duration_ns)
    return;
  take_snapshot();
}

void Session::take_snapshot() {
  drain_events();
  const heap::Snapshot snapshot = build_snapshot(since_start_ns());
  write([&](report::Writer& writer) { return writer.snapshot(snapshot); });
  if (config_.count && snapshots_ >= *config_.count) stop("count");
}

void Session::emit(report::ProcessEvent::Kind kind, const tracing::TracedProcess& process,
                   const report::ProcessEvent* details) {
  report::ProcessEvent event = details == nullptr ? report::ProcessEvent() : *details;
  event.kind = kind;
  event.t_ns = since_start_ns();
  event.unix_us = unix_us();
  event.pid = process.pid;
  if (event.parent_pid == 0) event.parent_pid = process.info.parent_pid;
  event.comm = process.info.comm;
  event.exe = process.info.exe;
  event.cmdline = process.info.cmdline;
  event.start_ns = process.info.start_ns;
  event.ns_pid = process.info.ns_pid;
  event.uid = process.info.uid;
  event.user = process.user;
  event.container = process.container;
  write([&](report::Writer& writer) { return writer.process(event); });
}

std::uint64_t Session::since_start_ns() const { return monotonic_ns() - start_ns_; }

Result<Outcome> run(const Config& config) { return Session(config).run(); }

}  // namespace tracer::session
