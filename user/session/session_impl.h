// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "heap/grouping.h"
#include "heap/site_histories.h"
#include "kernel/bpf_object.h"
#include "kernel/mapping_events.h"
#include "library/library_cache.h"
#include "proc/cgroup.h"
#include "proc/process_matcher.h"
#include "proc/users.h"
#include "report/names.h"
#include "report/outputs.h"
#include "session/command.h"
#include "session/config.h"
#include "session/control.h"
#include "session/event_loop.h"
#include "session/overhead_guard.h"
#include "session/session.h"
#include "symbols/symbolizer.h"
#include "tracing/machine_files.h"
#include "tracing/mapped_memory.h"
#include "tracing/probe_armer.h"
#include "tracing/process_tracker.h"
#include "tracing/snapshot_builder.h"
#include "tracing/stack_resolver.h"
#include "tracing/unwind_tables.h"

namespace tracer::session {

/// One run, from set-up to the last report. The only owner of everything; member order is lifetime, so that probes are
/// gone before the programs they run, and those before the outputs.
class Session {
 public:
  explicit Session(const Config& config)
      : config_(config), symbolizer_({config.inlines, config.demangle}), exited_books_(config.by) {}

  Result<Outcome> run();

 private:
  // Set-up, in this order (setup.cpp).
  Result<void> open_control();
  Result<void> open_outputs();
  Result<void> load_kernel_half();
  void use_unwind_tables();
  void wait_for_tables();
  Result<void> start_loop();
  Result<void> attach_targets();
  Result<void> attach_pid(pid_t pid);
  Result<void> start_command();
  Result<void> begin_recording();
  Result<void> start_timers();
  void announce();

  // What happens while it runs (events.cpp).
  void drain_events();
  void handle_event(const tr_event& event);
  void refresh(tracing::TracedProcess& process, std::uint64_t since_ns);
  void refresh_changed();
  void learn();
  void settle_ended(bool is_over);
  void name_generated_code(const heap::Stack& stack);
  bool lacks_answers(const heap::Stack& stack);
  void count_unanswered();
  void go_on(pid_t pid, std::uint32_t holds);
  void table_missed(std::uint32_t number);
  void process_forked(const tr_event& event);
  void process_executed(const tr_event& event);
  void process_exited(const tr_event& event);
  void libraries_changed(const tr_event& event);
  template <typename IsOver>
  void end_replaced(IsOver&& is_over);
  void tell_of_go(const library::Library& library, pid_t pid);
  void library_found(const library::Library& library, pid_t pid);
  void library_changed(const tracing::LibraryChange& change);
  void library_retires(library::Library& library);
  void look_up_names(const library::Library& library);
  void forget_names(const library::Library& library);
  bool is_starting(pid_t pid) const;
  /// Names of --allocator that no file defines that was looked at so far.
  std::vector<std::string> own_not_found() const;
  Result<void> find_own() const;
  /// Whether the kernel half adopts processes by itself.
  bool adopts() const { return config_.all && !matcher_; }
  void make_way_for_writers();
  report::LibraryEvent describe(report::LibraryEvent::Kind kind, const library::Library& library) const;
  void handle_signal(int signal);
  void publish_time(std::uint64_t now);
  void tick();
  void target_exited(pid_t pid);
  void reap_command();

  // The whole machine (machine.cpp).
  Result<void> choose_arming();
  Result<void> watch_mappings();
  Result<void> attach_machine();
  Result<void> attach_matching();
  void attach_all_found();
  void attach_found(pid_t pid, std::uint64_t since_ns);
  void on_mapping(const kernel::MappingEvent& event);
  void wait_for_tables_of_machine();
  void drain_mappings();
  void process_adopted(std::uint32_t space, pid_t pid);
  void adopt_missed();
  void identify(tracing::TracedProcess& process);
  void program_ended(const tr_event& event);
  void end_program(tracing::TracedProcess& process);
  void keep_ended(tracing::TakenStock stock);
  void read_mappings_for_stacks();
  void tick_machine(std::uint64_t now);

  // The overhead guard (guard.cpp).
  Result<library::Library*> arm_own_library(std::uint64_t address);
  Result<CallCost> measure_call_cost();
  void start_guard();
  void guard_overhead(std::uint64_t now);
  void apply(const OverheadGuard::Verdict& verdict, tracing::TracedProcess& process);

  // Recording on and off (modes.cpp).
  Result<void> enable();
  Result<void> disable();
  void delay_is_over();
  Result<void> obey(std::string_view command);
  std::uint64_t paused_ns() const;

  // The run and its reports (session.cpp).
  Result<void> trace();
  void take_snapshot();
  void take_periodic_snapshot();
  heap::Snapshot build_snapshot(std::uint64_t t_ns);
  tracing::Books books() const { return {*object_, *resolver_, config_.follow_mappings ? &mapped_ : nullptr}; }
  void sample_sites();
  Result<void> finish();
  void end_recording();
  std::jthread detach();
  void emit(report::ProcessEvent::Kind kind, const tracing::TracedProcess& process,
            const report::ProcessEvent* details = nullptr);
  template <typename Write>
  void write(Write&& write);
  std::uint64_t since_start_ns() const;
  void stop(const char* reason);

  /// A program that was replaced by exec, until its successor has loaded its libraries.
  struct Replaced {
    pid_t pid;
    tracing::TracedProcess* process;
    int announcements;  ///< of the successor's dynamic linker still to come
    std::uint64_t deadline_ns;
  };

  const Config config_;
  std::optional<Control> control_;
  symbols::Symbolizer symbolizer_;
  report::FileNames names_{symbolizer_};
  report::Context context_;
  std::unique_ptr<symbols::Debuginfod> debuginfod_;  ///< until the end, when the symbolizer gets it
  std::optional<report::Outputs> outputs_;
  std::optional<EventLoop> loop_;
  kernel::Backend backend_ = kernel::Backend::kMulti;
  std::unique_ptr<kernel::BpfObject> object_;
  const tracing::Catalogue catalogue_{config_.families, config_.own, config_.watch_misuse};
  std::optional<library::LibraryCache> cache_;
  std::optional<tracing::ProbeArmer> armer_;
  std::optional<tracing::ProcessTracker> tracker_;
  std::optional<tracing::UnwindTables> unwind_tables_;
  std::optional<tracing::StackResolver> resolver_;
  tracing::MappedMemory mapped_;
  std::optional<Command> command_;
  std::map<pid_t, UniqueFd> targets_;  ///< pidfds of the processes that we were asked for
  int command_announcements_ = 0;      ///< of the command's dynamic linker since its last exec
  std::vector<Replaced> replaced_;
  std::map<std::uint32_t, std::uint64_t> changed_;  ///< address space → when the first change was announced
  std::set<std::uint32_t> open_modules_;            ///< libraries whose file the symbolizer holds
  std::vector<tracing::TakenStock> ended_;          ///< of processes that have ended and were forgotten
  std::vector<heap::StackId> unanswered_;           ///< stacks with a frame in one of these that could not be read yet
  std::set<std::uint32_t> transient_modules_;       ///< libraries that were loaded while the trace ran
  std::map<std::uint32_t, heap::StackId> named_;    ///< module → the last stack that was asked for names from it

  /// --all with filters that few processes pass: these are attached one by one, as --pid does, and nobody else pays.
  std::optional<proc::ProcessMatcher> matcher_;
  proc::UserNames users_;
  std::optional<proc::CgroupTree> cgroups_;
  std::optional<kernel::MappingEvents> mapping_events_;
  std::optional<tracing::MachineFiles> files_;
  std::map<pid_t, std::uint32_t> execs_;  ///< of processes of which we have seen any
  heap::ExitedBooks exited_books_;
  heap::LossCounts ended_losses_{};
  std::uint64_t dead_blocks_ = 0;  ///< of ended programs, perhaps in the table of live blocks still
  std::uint64_t events_lost_ = 0;
  bool has_ended_ = false;  ///< a program, since files were looked at
  std::uint64_t last_read_ns_ = 0;
  std::uint64_t last_look_ns_ = 0;
  std::optional<OverheadGuard> guard_;
  std::uint64_t last_guard_ns_ = 0;

  std::uint64_t start_ns_ = 0;      ///< of the run: the zero of every record's t_ns
  std::uint64_t began_ns_ = 0;      ///< when all targets were attached
  std::uint64_t recording_ns_ = 0;  ///< when recording first began; 0: not yet
  bool is_recording_ = false;
  std::uint64_t pauses_ = 0;
  std::uint64_t pause_began_ns_ = 0;  ///< while it does not record
  std::uint64_t paused_ns_ = 0;       ///< of the pauses that are over
  std::uint64_t generation_ns_ = 0;
  std::uint64_t last_generation_ns_ = 0;
  std::uint64_t last_sweep_ns_ = 0;
  heap::SiteHistories histories_;
  std::uint64_t next_sample_ns_ = 0;  ///< of the sites of processes
  std::uint64_t snapshots_ = 0;
  int stop_signals_ = 0;
  std::string stop_reason_;
  Outcome outcome_;
  std::optional<Error> failure_;
};

}  // namespace tracer::session
