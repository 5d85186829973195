// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <regex>

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "elf/elf_image.h"
#include "session/machine_filter.h"
#include "session/session_impl.h"
#include "tracing/catalogue.h"

namespace tracer::session {
namespace {

// The clock of the ages of blocks; see tr_globals.tick.
constexpr std::uint64_t kLongestTick = 100'000'000;
constexpr std::uint64_t kShortestTick = 5'000'000;

std::optional<std::regex> to_regex(const std::string& text) {
  if (text.empty()) return std::nullopt;
  return std::regex(text, std::regex::ECMAScript | std::regex::optimize);
}

Error not_a_process(pid_t pid) {
  return Error(ErrorKind::kNotFound, fmt::format("there is no process with pid {}", pid),
               "'pgrep -a NAME' lists processes by name");
}

Error exited_while_attaching(pid_t pid) {
  return Error(ErrorKind::kGone, fmt::format("process {} exited while the tracer attached", pid),
               "to trace a short-lived program from its start, use 'tracer -- COMMAND'");
}

}  // namespace

Result<void> check_target(pid_t pid) {
  Result<proc::ProcessInfo> info = proc::read_process(pid);
  if (!info) return info.error().kind() == ErrorKind::kPermission ? std::move(info).error() : not_a_process(pid);
  if (info->thread_group_id != 0 && info->thread_group_id != pid)
    return Error(ErrorKind::kUsage, fmt::format("{} is a thread of process {}", pid, info->thread_group_id),
                 fmt::format("use --pid {}", info->thread_group_id));
  if (info->kernel_thread)
    return Error(ErrorKind::kUnsupported, fmt::format("process {} ({}) is a kernel thread", pid, info->comm),
                 "kernel threads have no heap; choose a user process");
  if (info->zombie)
    return Error(ErrorKind::kGone, fmt::format("process {} ({}) has exited already", pid, info->comm),
                 "its parent has not collected it yet; there is nothing left to trace");
  const UniqueFd exe(::open(fmt::format("/proc/{}/exe", pid).c_str(), O_RDONLY | O_CLOEXEC));
  if (!exe.valid())
    return Error::from_errno(errno, fmt::format("cannot look into process {}", pid),
                             "run as root, or with CAP_SYS_PTRACE for processes of other users");
  Result<elf::ElfImage> image = elf::ElfImage::read(exe.get(), {});
  if (image && !image->is_64_bit())
    return Error(ErrorKind::kUnsupported, fmt::format("process {} ({}) is a 32-bit program", pid, info->comm),
                 "only 64-bit x86 programs can be traced");
  return {};
}

Result<void> Session::open_control() {
  if (!config_.control) return {};
  Result<Control> control = Control::open(*config_.control);
  if (!control) return std::move(control).error();
  control_ = std::move(*control);
  return {};
}

Result<void> Session::open_outputs() {
  if (config_.debuginfod) {
    auto debuginfod = symbols::Debuginfod::open(*config_.debuginfod);
    if (!debuginfod) return std::move(debuginfod).error();
    debuginfod_ = std::move(debuginfod).value();
  }
  report::Context& context = context_;
  context.stack = [this](heap::StackId id) { return resolver_ ? resolver_->find(id) : nullptr; };
  context.symbolizer = &names_;
  context.top = config_.top;
  context.profile_top = config_.profile_top;
  context.folds = log::level() < log::Level::kVerbose;
  context.include = to_regex(config_.include);
  context.exclude = to_regex(config_.exclude);
  context.suppressions = config_.suppressions;
  Result<report::Outputs> outputs = report::Outputs::open(config_.output, context);
  if (!outputs) return std::move(outputs).error();
  outputs_ = std::move(*outputs);
  if (outputs_->is_format_implied())
    log::info("standard output is no terminal: writing NDJSON (use '-f table' for the table)");
  return {};
}

Result<void> Session::load_kernel_half() {
  if (Result<void> able = kernel::require_machine(); !able) return able;
  const bool has_multi = kernel::has_uprobe_multi();
  backend_ = config_.backend.value_or(has_multi ? kernel::Backend::kMulti : kernel::Backend::kPerf);
  if (backend_ == kernel::Backend::kMulti && !has_multi)
    return Error(ErrorKind::kUnsupported, "this kernel has no uprobe_multi links", "use --probe-backend auto or perf");

  kernel::ObjectConfig config;
  config.use_tables = config_.call_graph == CallGraph::kDwarf;
  config.capacity = kernel::Capacity::of_budget(config_.max_memory_bytes, config.use_tables, config_.all);
  config.follow = config_.follow;
  config.max_frames = config_.max_stack;
  config.min_size_bytes = config_.min_size_bytes;
  if (config_.max_size_bytes != 0) config.max_size_bytes = config_.max_size_bytes;
  config.sample_bytes = config_.sample_bytes;
  config.backend = backend_;
  config.all = adopts();
  config.follow_mappings = config_.follow_mappings;
  config.count_faults = config_.count_faults;
  config.watch_misuse = config_.watch_misuse;
  if (Result<tr_filter> filter = kernel_filter(config_.filter); filter)
    config.filter = *filter;
  else
    return std::move(filter).error();
  Result<std::unique_ptr<kernel::BpfObject>> object = kernel::BpfObject::load(config);
  if (!object) return std::move(object).error();
  object_ = std::move(*object);
  log::verbose("tables of {}: {} live blocks, {} stacks; probes by {}", format_bytes(config_.max_memory_bytes),
               format_count(config.capacity.blocks), format_count(config.capacity.stacks),
               kernel::backend_name(backend_));

  if (config_.sample_bytes != 0)
    log::verbose("one allocation in {} is recorded; the rest is estimated", format_bytes(config_.sample_bytes));

  cache_.emplace(catalogue_.wanted_names());
  using Scope = tracing::ProbeArmer::Scope;
  const bool for_all = !matcher_ && (config_.follow || config_.all);
  armer_.emplace(kernel::make_probe_attacher(backend_, *object_), for_all ? Scope::kAllProcesses : Scope::kOneProcess,
                 catalogue_);
  log::verbose("probes are armed {}", adopts() ? "for all processes, new ones included, and filtered in the kernel"
                                      : for_all
                                          ? "for all processes and filtered in the kernel, since children are followed"
                                          : "for the traced processes only");
  // Off until recording begins: what is attached before it does not count, and may never be needed.
  if (config_.delay_ns != 0) (void)armer_->disarm_heap();
  tracker_.emplace(*object_, *cache_, *armer_);
  tracker_->on_change = [this](const tracing::LibraryChange& change) { library_changed(change); };
  tracker_->on_found = [this](const library::Library& library, pid_t pid) { library_found(library, pid); };
  tracker_->before_retire = [this](library::Library& library) { library_retires(library); };
  if (config.use_tables) use_unwind_tables();
  resolver_.emplace(*object_, *tracker_, *cache_, unwind_tables_ ? &*unwind_tables_ : nullptr);
  resolver_->shares_between_processes = config_.all;
  return object_->attach_process_events();
}

void Session::use_unwind_tables() {
  unwind_tables_.emplace(*object_);
  tracker_->on_number = [this](std::uint32_t number, const library::Library& library) {
    unwind_tables_->want(number, library);
  };
  Result<std::uint32_t> vdso = tracker_->meet_vdso();
  if (vdso)
    object_->globals().vdso_module = *vdso;
  else
    log::verbose("{}", vdso.error().message());
}

/// Stacks are whole from the first one on.
void Session::wait_for_tables() {
  if (!unwind_tables_) return;
  if (adopts())
    wait_for_tables_of_machine();
  else
    unwind_tables_->wait();
  const tracing::UnwindTables::Totals totals = unwind_tables_->totals();
  log::verbose("unwind tables of {} files: {} rows, {}, made in {} ms", totals.tables, format_count(totals.rows),
               format_bytes(totals.words_used * sizeof(std::uint32_t)), totals.build_ns / 1'000'000U);
}

Result<void> Session::start_loop() {
  Result<EventLoop> loop = EventLoop::create();
  if (!loop) return std::move(loop).error();
  loop_ = std::move(*loop);
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGUSR1, SIGIO}) sigaddset(&signals, signal);
  if (Result<void> added = loop_->add_signals(signals, [this](int signal) { handle_signal(signal); }); !added)
    return added;
  if (control_) {
    Result<void> added = loop_->add(
        control_->fd(), [this] { control_->read([this](std::string_view command) { return obey(command); }); });
    if (!added) return added;
  }
  return loop_->add(object_->event_fd(), [this] { drain_events(); });
}

Result<void> Session::attach_pid(pid_t pid) {
  if (Result<void> fit = check_target(pid); !fit) return fit;
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid()) return errno == ESRCH ? not_a_process(pid) : Error::from_errno(errno, "cannot watch the process");
  Result<std::uint32_t> space = object_->add_process(pid, 0);
  if (!space) return std::move(space).error();
  tracing::TracedProcess& process = tracker_->add(pid, *space);
  if (Result<void> read = tracker_->refresh(process, monotonic_ns()); !read) {
    if (read.error().kind() == ErrorKind::kGone || read.error().kind() == ErrorKind::kNotFound)
      return exited_while_attaching(pid);
    return read;
  }
  if (!tracker_->has_allocator(process)) {
    if (Result<void> own = find_own(); !own) return own;
    return Error(ErrorKind::kUnsupported,
                 fmt::format("process {} ({}) maps no file that defines malloc, free or another known allocator", pid,
                             process.info.comm),
                 "name the functions of an allocator of its own with --allocator; 'tracer --check --pid' says what was "
                 "found; a static program that was stripped of its symbols cannot be traced");
  }
  emit(report::ProcessEvent::Kind::kAttach, process);
  const int fd = pidfd.get();
  targets_[pid] = std::move(pidfd);
  return loop_->add(fd, [this, pid] { target_exited(pid); });
}

Result<void> Session::start_command() {
  Result<Command> command = Command::start(config_.command);
  if (!command) return std::move(command).error();
  command_ = std::move(*command);
  Result<std::uint32_t> space = object_->add_process(command_->pid(), TR_HOLD_EXEC | TR_HOLD_LOADER);
  if (!space) return std::move(space).error();
  // What happens before exec is our own doing; the program gets an address space of its own.
  object_->mute(*space);
  tracker_->add(command_->pid(), *space);
  return {};
}

Result<void> Session::attach_targets() {
  if (config_.all) return adopts() ? attach_machine() : attach_matching();
  if (!config_.command.empty()) return start_command();
  for (pid_t pid : config_.pids) {
    if (Result<void> attached = attach_pid(pid); !attached) return attached;
  }
  return find_own();
}

Result<void> Session::start_timers() {
  const std::uint64_t tick_ns = std::clamp(config_.older_ns / TR_GENERATIONS_PER_OLDER, kShortestTick, kLongestTick);
  generation_ns_ = std::max(config_.older_ns / TR_GENERATIONS_PER_OLDER, tick_ns);
  last_generation_ns_ = monotonic_ns();
  if (Result<void> added = loop_->add_timer(tick_ns, [this] { tick(); }); !added) return added;
  // Of a whole machine the snapshots must do.
  if (!config_.all) {
    Result<void> added = loop_->add_timer(heap::SiteHistories::kFirstSpacingNs, [this] { sample_sites(); });
    if (!added) return added;
  }
  if (!config_.command.empty() && !config_.interval_given) return {};
  return loop_->add_timer(config_.interval_ns, [this] { take_periodic_snapshot(); });
}

Result<void> Session::begin_recording() {
  if (Result<void> started = start_timers(); !started) return started;
  began_ns_ = monotonic_ns();
  wait_for_tables();
  if (config_.delay_ns == 0) {
    // From this instant on every probe counts; before it none did.
    if (Result<void> enabled = enable(); !enabled) return enabled;
  } else {
    if (Result<void> disabled = disable(); !disabled) return disabled;
    if (config_.delay_ns) {
      Result<void> added = loop_->add_timer(*config_.delay_ns, [this] { delay_is_over(); });
      if (!added) return added;
    }
  }
  announce();
  if (!command_) return {};
  if (Result<void> released = command_->release(); !released) {
    outcome_.command_error = std::move(released).error();
    stop("error");
  }
  return {};
}

std::vector<std::string> Session::own_not_found() const {
  std::vector<std::string> names;
  for (const tracing::Function& own : config_.own) {
    const bool is_found = std::ranges::any_of(cache_->libraries(), [&](const auto& library) {
      if (!library->image()) return false;
      return std::ranges::any_of(library->image()->functions(), [&](const elf::FunctionSymbol& symbol) {
        if (symbol.name != own.name) return false;
        const tracing::Function* found = catalogue_.find(symbol.name, library->path());
        return found != nullptr && found->family == tracing::Family::kOwn && found->file == own.file;
      });
    });
    if (!is_found) names.push_back(own.file.empty() ? own.name : own.file + ":" + own.name);
  }
  return names;
}

/// Of processes that run already everything is there that their programs are linked with.
Result<void> Session::find_own() const {
  const std::vector<std::string> missing = own_not_found();
  if (missing.empty() || config_.pids.empty()) return {};
  return Error(
      ErrorKind::kNotFound,
      fmt::format("--allocator: no file that the process maps defines {}", fmt::join(missing, ", ")),
      "names are those of the symbol table ('nm -D FILE', 'nm FILE'), mangled for C++; FILE is the name of the "
      "file in /proc/PID/maps");
}

void Session::announce() {
  if (config_.all) {
    const std::string what = adopts() ? fmt::format("{} executable files", files_->held())
                                      : fmt::format("of now {}", tracker_->processes().size());
    log::info("tracing all processes{} with {} probes, {}; Ctrl-C ends with a report",
              config_.filter.empty() ? "" : " that pass the filters", kernel::backend_name(backend_), what);
    return;
  }
  if (command_) {
    log::info("tracing pid {} ({}) with {} probes", command_->pid(), config_.command.front(),
              kernel::backend_name(backend_));
    return;
  }
  for (pid_t pid : config_.pids) {
    const tracing::TracedProcess* process = tracker_->find_live(pid);
    std::vector<std::string> files;
    std::size_t functions = 0;
    for (const auto& library : cache_->libraries()) {
      const std::size_t armed = armer_->functions(*library).size();
      if (!armer_->has_heap_functions(*library)) continue;
      functions += armed;
      files.push_back(library->path());
    }
    log::info("tracing pid {} ({}): {} functions in {}, {} probes; Ctrl-C ends with a report", pid,
              process == nullptr ? "" : process->info.comm, functions, fmt::join(files, ", "),
              kernel::backend_name(backend_));
  }
}

}  // namespace tracer::session
