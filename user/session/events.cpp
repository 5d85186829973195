// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <set>

#include "base/clock.h"
#include "base/log.h"
#include "session/session_impl.h"
#include "session/session_write.h"
#include "tracing/books.h"

namespace tracer::session {
namespace {

// The dynamic linker announces its start and the finished list; by then the program's allocator is mapped and armed.
constexpr int kStartupAnnouncements = 2;
// A program without a dynamic linker announces nothing.
constexpr std::uint64_t kLongestStartupNs = 1'000'000'000;
// Names looked up for a library that goes away: as many as a reader may come to see.
constexpr std::size_t kMostNamesKept = 4096;
// How often the table of live blocks may be cleared of those of ended processes; it takes time in proportion to the
// table.
constexpr std::uint64_t kSweepPeriodNs = 10'000'000'000;
// How long a process that has ended is kept for stacks that wait for a library or a table to be read.
constexpr std::uint64_t kLongestSettlingNs = 2'000'000'000;

}  // namespace

void Session::drain_events() {
  object_->drain_events([this](const tr_event& event) { handle_event(event); });
  for (const tr_memory_event& event : object_->take_memory_events()) mapped_.apply(event);
  refresh_changed();
  learn();
  if (adopts()) read_mappings_for_stacks();
  settle_ended(false);
  tracker_->retire_unmapped();
}

/// Takes stock of the processes that have ended, when their last stacks are known, and gives back what the kernel half
/// has kept for them; of all of them when the run is over.
void Session::settle_ended(bool is_over) {
  const std::uint64_t now = monotonic_ns();
  std::vector<std::uint32_t> settled;
  for (const auto& [space, process] : tracker_->processes()) {
    if (!process->is_let_go || object_->spaces()[space].users != 0) continue;
    if (!process->settle_by_ns) process->settle_by_ns = now + kLongestSettlingNs;
    if (is_over || process->unresolved.empty() || now >= *process->settle_by_ns) settled.push_back(space);
  }
  for (const std::uint32_t space : settled) {
    const tracing::TracedProcess& process = *tracker_->find_space(space);
    keep_ended(tracing::take_stock(books(), process, config_.older_ns != 0));
    mapped_.forget(space);
    // Other runs tell of it at their end once more.
    if (config_.all) resolver_->forget(process);
    tracker_->forget(space);
    if (guard_) guard_->forget(space);
    if (Result<void> released = object_->release_space(space); !released)
      log::verbose("space {}: {}", space, released.error().message());
  }
}

/// What stacks mention becomes known before anything is let go. Names from libraries that came while the trace ran are
/// looked up at once: their files may be overwritten or deleted at any time.
void Session::learn() {
  tracker_->meet_modules();
  resolver_->poll();
  for (const heap::StackId id : resolver_->take_new()) {
    name_generated_code(*resolver_->find(id));
    if (lacks_answers(*resolver_->find(id))) unanswered_.push_back(id);
  }
}

/// Names of generated code are asked for at once: the code may be thrown away, and the process end.
void Session::name_generated_code(const heap::Stack& stack) {
  for (const heap::Frame& frame : stack.frames) {
    if (frame.module != heap::kNoModule || frame.pid == 0) continue;
    if (const auto* process = tracker_->find_live(frame.pid);
        process != nullptr && !symbolizer_.knows_process(frame.pid)) {
      const proc::ProcessInfo& info = process->info;
      const std::uint64_t started_us = info.start_ns == 0 ? 0 : boot_unix_us() + info.start_ns / 1000;
      symbolizer_.add_process({frame.pid, info.ns_pid, info.uid, started_us});
    }
    symbolizer_.symbolize(frame);
  }
}

/// True when a name is missing because the file could not be read, rather than because it has none there. Asks for all
/// of the names, so that they are known before the files go.
bool Session::lacks_answers(const heap::Stack& stack) {
  bool lacks = false;
  for (const heap::Frame& frame : stack.frames) {
    if (!transient_modules_.contains(frame.module)) continue;
    lacks |= !symbolizer_.symbolize(frame).back().named && !symbolizer_.can_answer(frame.module);
  }
  return lacks;
}

/// Counts as lost what has no names because a file could not be read, or was overwritten before it was.
void Session::count_unanswered() {
  for (const heap::StackId id : unanswered_) {
    const heap::Stack* stack = resolver_->find(id);
    if (stack != nullptr && lacks_answers(*stack)) resolver_->mark_missed(id);
  }
}

void Session::handle_event(const tr_event& event) {
  if (adopts() && (event.type == TR_EVENT_EXEC || event.type == TR_EVENT_EXIT)) return program_ended(event);
  switch (event.type) {
    case TR_EVENT_FORK:
      return process_forked(event);
    case TR_EVENT_EXEC:
      return process_executed(event);
    case TR_EVENT_EXIT:
      return process_exited(event);
    case TR_EVENT_LIBRARIES:
      return libraries_changed(event);
    case TR_EVENT_ADOPT:
      return process_adopted(event.space, static_cast<pid_t>(event.tgid));
    case TR_EVENT_TABLE:
      return table_missed(event.value);
    default:
      return;  // stacks and files: drain_events() looks for new ones anyway
  }
}

void Session::process_forked(const tr_event& event) {
  // A child of vfork lives in its parent's address space, which is known already.
  if (tracker_->find_space(event.space) != nullptr) return;
  refresh_changed();
  const auto child = static_cast<pid_t>(event.tgid);
  const tracing::TracedProcess* parent = tracker_->find_live(static_cast<pid_t>(event.value));
  // Where each process has probes of its own the child gets them now, and must not inherit the word that it has them.
  const bool inherits = parent != nullptr && !matcher_;
  tracing::TracedProcess& process =
      inherits ? tracker_->add_fork(child, event.space, *parent) : tracker_->add(child, event.space);
  identify(process);
  if (matcher_) refresh(process, event.time_ns);
  report::ProcessEvent details;
  details.parent_pid = static_cast<pid_t>(event.value);
  emit(report::ProcessEvent::Kind::kFork, process, &details);
}

/// One that had to make room for others, or is not known yet: then it is wanted as soon as it is.
void Session::table_missed(std::uint32_t number) {
  if (const library::Library* library = cache_->find(number)) unwind_tables_->want(number, *library);
}

/// A process that has ended in the meantime is no news here: its exit event follows.
void Session::refresh(tracing::TracedProcess& process, std::uint64_t since_ns) {
  if (Result<void> read = tracker_->refresh(process, since_ns); !read && read.error().kind() != ErrorKind::kGone)
    log::verbose("pid {}: {}", process.pid, read.error().message());
  if (process.is_live() && process.is_unsettled) changed_.try_emplace(process.space, since_ns);
}

/// Reads the mappings of the processes that have announced a change, each once for all its announcements.
void Session::refresh_changed() {
  for (const auto& [space, since_ns] : std::exchange(changed_, {})) {
    if (tracing::TracedProcess* process = tracker_->find_space(space)) refresh(*process, since_ns);
  }
}

/// Lets the held command run until the next of `holds`.
void Session::go_on(pid_t pid, std::uint32_t holds) {
  if (unwind_tables_) unwind_tables_->wait();
  if (Result<void> held = object_->set_hold(pid, holds); !held) log::verbose("{}", held.error().message());
  ::kill(pid, SIGCONT);
}

void Session::process_executed(const tr_event& event) {
  const auto pid = static_cast<pid_t>(event.tgid);
  tracing::TracedProcess* old = tracker_->find_live(pid);
  tracing::TracedProcess& process = tracker_->add(pid, event.space);
  ++execs_[pid];
  identify(process);
  refresh(process, event.time_ns);
  if (old != nullptr) {
    tracker_->replace(*old);
    replaced_.push_back({pid, old, kStartupAnnouncements, monotonic_ns() + kLongestStartupNs});
  }
  emit(report::ProcessEvent::Kind::kExec, process);
  if (event.value == 0) return;
  command_announcements_ = 0;
  go_on(pid, TR_HOLD_EXEC | TR_HOLD_LOADER);
}

/// Lets go of what the programs had armed that `is_over` says have been replaced for good.
template <typename IsOver>
void Session::end_replaced(IsOver&& is_over) {
  std::erase_if(replaced_, [&](Replaced& replaced) {
    if (!is_over(replaced)) return false;
    tracker_->end(*replaced.process);
    return true;
  });
}

void Session::process_exited(const tr_event& event) {
  tracing::TracedProcess* process = tracker_->find_space(event.space);
  if (process == nullptr || process->ended || process->pid != static_cast<pid_t>(event.tgid)) return;
  refresh_changed();
  execs_.erase(process->pid);
  report::ProcessEvent details;
  const int status = static_cast<int>(event.value);
  if (WIFEXITED(status)) details.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) details.exit_signal = WTERMSIG(status);
  emit(report::ProcessEvent::Kind::kExit, *process, &details);
  end_replaced([&](const Replaced& replaced) { return replaced.pid == process->pid; });
  // The files of the last process stay open for the names in the final report.
  const bool is_last = !config_.all && std::ranges::none_of(tracker_->processes(), [&](const auto& entry) {
    return entry.second.get() != process && !entry.second->ended;
  });
  if (!is_last)
    tracker_->end(*process);
  else
    process->ended = true;
}

void Session::libraries_changed(const tr_event& event) {
  const auto pid = static_cast<pid_t>(event.tgid);
  changed_.try_emplace(event.space, event.time_ns);
  end_replaced([&](Replaced& replaced) { return replaced.pid == pid && --replaced.announcements == 0; });
  if (event.value == 0) return;
  refresh_changed();
  const bool has_started = ++command_announcements_ >= kStartupAnnouncements;
  go_on(pid, has_started ? TR_HOLD_EXEC : TR_HOLD_EXEC | TR_HOLD_LOADER);
}

/// Whether it is a program that has not loaded all its libraries yet.
bool Session::is_starting(pid_t pid) const {
  return std::ranges::any_of(replaced_, [&](const Replaced& replaced) { return replaced.pid == pid; }) ||
         (command_ && pid == command_->pid() && command_announcements_ < kStartupAnnouncements);
}

report::LibraryEvent Session::describe(report::LibraryEvent::Kind kind, const library::Library& library) const {
  const library::FileIdentity& identity = library.identity();
  report::LibraryEvent event;
  event.kind = kind;
  event.t_ns = since_start_ns();
  event.unix_us = unix_us();
  event.module = library.module_id();
  event.state = library::state_name(library.state());
  event.identity = {identity.device(), identity.inode, identity.generation, identity.changed_ns, identity.told_by()};
  event.path = library.path();
  if (library.image()) event.build_id = library.image()->build_id();
  return event;
}

/// Half of such a program would seem to be missing.
void Session::tell_of_go(const library::Library& library, pid_t pid) {
  report::Diagnostic diagnostic;
  diagnostic.severity = "info";
  diagnostic.code = "go_heap_not_seen";
  diagnostic.message = library.path() + " is written in Go: what Go itself allocates is not seen, only its C side";
  diagnostic.hint = "go tool pprof shows Go's own heap; --events fault shows where its pages are touched first";
  diagnostic.t_ns = since_start_ns();
  diagnostic.unix_us = unix_us();
  diagnostic.pid = pid;
  if (!config_.all) log::info("{}", diagnostic.message);
  write([&](report::Writer& writer) { return writer.diagnostic(diagnostic); });
}

/// Lets the symbolizer have the file.
void Session::library_found(const library::Library& library, pid_t pid) {
  if (!open_modules_.insert(library.module_id()).second) return;
  if (library.image() && library.image()->is_go()) tell_of_go(library, pid);
  // Of the whole machine's files most come and go: their names are looked up when they go.
  if (began_ns_ != 0 && !adopts() && !is_starting(pid)) transient_modules_.insert(library.module_id());
  symbols::ModuleFile file;
  file.path = library.path();
  if (library.image()) file.build_id = library.image()->build_id();
  file.size_bytes = library.identity().size_bytes;
  file.modified_ns = library.identity().modified_ns;
  file.root = "/proc/" + std::to_string(pid) + "/root";
  const bool is_open = library.file().valid();
  if (is_open) file.file.reset(::fcntl(library.file().get(), F_DUPFD_CLOEXEC, 3));
  symbolizer_.add_module(library.module_id(), std::move(file));
  // One that nobody could open has a name all the same.
  if (!is_open) forget_names(library);
}

void Session::library_changed(const tracing::LibraryChange& change) {
  library::Library& library = *change.library;
  using Kind = report::LibraryEvent::Kind;
  report::LibraryEvent event = describe(change.loaded ? Kind::kLoad : Kind::kUnload, library);
  event.pid = change.pid;
  event.start = change.start;
  event.end = change.end;
  event.file_offset = change.file_offset;
  if (change.loaded) event.probes = armer_->functions(library);
  if (change.armed_ns != 0) event.armed_ns = change.armed_ns;
  write([&](report::Writer& writer) { return writer.library(event); });
}

/// Looks up the names that stacks need from a library, in those that are new since it was last asked for. learn() has
/// done that already for those that come and go.
void Session::look_up_names(const library::Library& library) {
  if (transient_modules_.contains(library.module_id())) return;
  heap::StackId& next = named_[library.module_id()];
  std::set<std::pair<std::uint64_t, bool>> seen;
  while (next < resolver_->last() && seen.size() < kMostNamesKept) {
    const heap::Stack* stack = resolver_->find(++next);
    if (stack == nullptr) continue;
    for (const heap::Frame& frame : stack->frames) {
      if (frame.module == library.module_id() && seen.emplace(frame.module_address, frame.exact).second)
        symbolizer_.symbolize(frame);
    }
  }
  next = resolver_->last();
}

void Session::forget_names(const library::Library& library) {
  symbolizer_.release_module(library.module_id());
  open_modules_.erase(library.module_id());
}

void Session::library_retires(library::Library& library) {
  look_up_names(library);
  forget_names(library);
  report::LibraryEvent event = describe(report::LibraryEvent::Kind::kRetire, library);
  event.state = library::state_name(library::State::kRetired);
  write([&](report::Writer& writer) { return writer.library(event); });
}

/// Somebody waits to write to a file that has probes.
void Session::make_way_for_writers() {
  for (library::Library* library : tracker_->make_way_for_writers()) {
    if (library->live_mappings == 0) continue;
    report::Diagnostic diagnostic;
    diagnostic.severity = "warning";
    diagnostic.code = "file_overwritten";
    diagnostic.message = library->path() + " is opened for writing while it is mapped: its probes were removed";
    diagnostic.hint = "calls into it are not seen any more; replace a library by renaming a new file over it";
    diagnostic.t_ns = since_start_ns();
    diagnostic.unix_us = unix_us();
    log::info("{}", diagnostic.message);
    write([&](report::Writer& writer) { return writer.diagnostic(diagnostic); });
  }
}

void Session::handle_signal(int signal) {
  if (signal == SIGCHLD) return reap_command();
  if (signal == SIGUSR1) return take_snapshot();
  if (signal == SIGIO) return make_way_for_writers();
  ++stop_signals_;
  if (command_ && signal == SIGINT && stop_signals_ > 1) outcome_.aborted = true;
  // A command gets its chance to end first: the terminal sends it SIGINT anyway, the others are passed on.
  const bool may_end_itself = command_ && stop_signals_ == 1;
  if (!may_end_itself) return stop("signal");
  if (signal != SIGINT) ::kill(command_->pid(), signal);
}

/// Tells the kernel half the time, which costs it too much to ask for itself.
void Session::publish_time(std::uint64_t now) {
  __atomic_store_n(&object_->globals().tick, (now - start_ns_) / 1'000'000U, __ATOMIC_RELAXED);
}

void Session::tick() {
  const std::uint64_t now = monotonic_ns();
  publish_time(now);
  if (now - last_generation_ns_ >= generation_ns_) {
    tracing::advance_generation(*object_);
    last_generation_ns_ = now;
  }
  end_replaced([&](const Replaced& replaced) { return now >= replaced.deadline_ns; });
  if (dead_blocks_ > 0 && now - last_sweep_ns_ >= kSweepPeriodNs) {
    last_sweep_ns_ = now;
    dead_blocks_ = 0;
    if (const std::uint64_t removed = object_->remove_blocks_of_ended_spaces(); removed > 0)
      log::debug("removed {} blocks of ended processes", removed);
  }
  if (mapping_events_) drain_mappings();
  if (adopts()) tick_machine(now);
  guard_overhead(now);
  // A stack whose owner was not known at its event.
  drain_events();
}

void Session::target_exited(pid_t pid) {
  const auto found = targets_.find(pid);
  if (found == targets_.end()) return;
  loop_->remove(found->second.get());
  targets_.erase(found);
  drain_events();
  if (targets_.empty()) stop("target_exit");
}

void Session::reap_command() {
  int status = 0;
  if (!command_ || outcome_.command_status || !command_->try_wait(&status)) return;
  outcome_.command_status = status;
  drain_events();
  stop("target_exit");
}

}  // namespace tracer::session
