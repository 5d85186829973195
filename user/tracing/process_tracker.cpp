// SPDX-License-Identifier: Apache-2.0
#include "tracing/process_tracker.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "tracing/met_module.h"
#include "tracing/vdso.h"

namespace tracer::tracing {
namespace {

// A process that loads and unloads without a pause is read this often before we go on with what we have; its next
// announcement brings us back.
constexpr int kMostReads = 4;
// How long probes stay on an allocator that a process has unloaded: when it loads it again, not one call is missed. The
// kernel arms the new mapping by itself then. Meanwhile the file's file system cannot be unmounted, hence not for long,
// and not at all for a file that has been deleted: its space is to be freed.
constexpr std::uint64_t kLingerNs = 2'000'000'000;
constexpr pid_t kNobody = 0;

std::uint64_t links_of(const UniqueFd& file) {
  struct stat status {};
  return file.valid() && ::fstat(file.get(), &status) == 0 ? status.st_nlink : 0;
}

/// The path of an open file as the kernel has it, for people.
std::string path_of(const UniqueFd& file, const std::string& otherwise) {
  constexpr std::string_view kDeleted = " (deleted)";
  std::error_code error;
  std::string path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(file.get()), error).string();
  if (path.ends_with(kDeleted)) path.resize(path.size() - kDeleted.size());
  // A file of another mount namespace may have no path here.
  return error || !path.starts_with('/') || path == "/" ? otherwise : path;
}

/// Opens a regular file and nothing else: opening a device or a FIFO has effects. The path may be anything by now.
UniqueFd open_regular(const std::string& path) {
  const UniqueFd handle(::open(path.c_str(), O_PATH | O_CLOEXEC));
  struct stat status {};
  if (!handle.valid() || ::fstat(handle.get(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  return UniqueFd(::open(("/proc/self/fd/" + std::to_string(handle.get())).c_str(), O_RDONLY | O_CLOEXEC));
}

library::FileIdentity identity_of(const tr_module& module) {
  return library::FileIdentity::of(module.key, module.modified_ns);
}

/// Whether nothing has been written to the file since the kernel half saw it.
bool shows(const UniqueFd& file, const library::FileIdentity& identity) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return false;
  const std::uint64_t modified_ns = static_cast<std::uint64_t>(status.st_mtim.tv_sec) * 1'000'000'000U +
                                    static_cast<std::uint64_t>(status.st_mtim.tv_nsec);
  return static_cast<std::uint64_t>(status.st_size) == identity.size_bytes && modified_ns == identity.modified_ns;
}

}  // namespace

TracedProcess& ProcessTracker::add(pid_t pid, std::uint32_t space) {
  auto process = std::make_unique<TracedProcess>();
  process->pid = pid;
  process->space = space;
  if (Result<proc::ProcessInfo> info = proc::read_process(pid); info) process->info = std::move(*info);
  TracedProcess& added = *process;
  processes_[space] = std::move(process);
  return added;
}

TracedProcess& ProcessTracker::add_fork(pid_t pid, std::uint32_t space, const TracedProcess& parent) {
  TracedProcess& child = add(pid, space);
  child.addresses = parent.addresses;
  child.addresses.set_announcements(0, 0);
  for (const MappedLibrary& mapped : child.addresses.mapped()) mapped.library->live_mappings++;
  return child;
}

Result<void> ProcessTracker::refresh(TracedProcess& process, std::uint64_t since_ns) {
  if (!process.is_live()) return Error(ErrorKind::kGone, "the process has ended");
  for (int i = 0; i < kMostReads; ++i) {
    Result<bool> settled = read_once(process, since_ns);
    if (!settled) return std::move(settled).error();
    if (*settled) return {};
  }
  log::debug("pid {}: mappings change faster than they can be read", process.pid);
  return {};
}

/// True when nothing was armed, so that everything armed is known to have been mapped afterwards.
Result<bool> ProcessTracker::read_once(TracedProcess& process, std::uint64_t since_ns) {
  const auto announcements = [&] {
    return __atomic_load_n(&object_.spaces()[process.space].announcements, __ATOMIC_ACQUIRE);
  };
  const std::uint32_t before = announcements();
  Result<std::vector<proc::Mapping>> mappings = proc::read_maps(process.pid);
  if (!mappings) return std::move(mappings).error();
  if (mappings->empty()) return Error(ErrorKind::kGone, "the process has no address space any more");

  const AddressSpace::Update update =
      process.addresses.update(*mappings, [&](MappedLibrary& mapped) { return is_same_file(process.pid, mapped); });
  Result<bool> settled = true;
  process.is_unsettled = false;
  for (const proc::Mapping& mapping : update.appeared) {
    Result<bool> armed = add_mapping(process, mapping, since_ns);
    // A mapping that went away in between is no failure: another announcement follows.
    if (!armed && armed.error().kind() != ErrorKind::kGone) {
      process.is_unsettled = true;
      settled = std::move(armed).error();
      break;
    }
    if (!armed) process.is_unsettled = true;
    if (armed && *armed) settled = false;
  }
  process.addresses.set_announcements(before, announcements());
  let_go(process, update.vanished);
  return settled;
}

/// The library behind an open file; kGone when the kernel half knows the file under another number than expected, or
/// somebody writes to it.
Result<library::Library*> ProcessTracker::find_library(UniqueFd file, const std::string& path, pid_t pid,
                                                       std::uint32_t expected) {
  for (int i = 0; i < kMostReads; ++i) {
    const Result<std::uint32_t> number = object_.identify(file.get());
    if (!number) return Error(number.error()).in_context(path);
    if (expected != 0 && *number != expected) break;
    const library::FileIdentity identity = identity_of(object_.modules()[*number]);
    UniqueFd own(::fcntl(file.get(), F_DUPFD_CLOEXEC, 3));
    library::Library* library = cache_.find_or_inspect(*number, identity, std::move(own), path);
    // Whatever comes of it, it is let go again unless a mapping is added.
    if (library != nullptr && library->live_mappings == 0) leaving_.push_back({library, kNobody, 0});
    if (library != nullptr && shows(file, identity)) {
      if (on_found) on_found(*library, pid);
      if (on_number) on_number(*number, *library);
      return library;
    }
    // What was read is not what has that number.
    object_.forget_module(*number);
  }
  return Error(ErrorKind::kGone, path + " is another file by now");
}

Result<ProcessTracker::Found> ProcessTracker::find_library(pid_t pid, const proc::Mapping& mapping) {
  // First the stamp: what changes after it is noticed at the next reading.
  Result<proc::FileStamp> stamp = proc::stamp_mapped_file(pid, mapping);
  if (!stamp) return std::move(stamp).error();
  Result<UniqueFd> file = proc::open_mapped_file(pid, mapping);
  if (!file) return std::move(file).error();
  // The list may be older than the mapping: what is opened has the right to say what it is.
  const std::string path = path_of(*file, mapping.path);
  Result<library::Library*> library = find_library(std::move(*file), path, pid, 0);
  if (!library) return std::move(library).error();
  return Found{*library, *stamp};
}

bool ProcessTracker::is_same_file(pid_t pid, MappedLibrary& mapped) {
  const Result<proc::FileStamp> stamp = proc::stamp_mapped_file(pid, mapped.mapping);
  if (!stamp) return false;
  if (*stamp == mapped.stamp) return true;
  // Renamed, deleted, written to, or another file.
  const Result<Found> found = find_library(pid, mapped.mapping);
  if (!found || found->library != mapped.library) return false;
  mapped.stamp = found->stamp;
  return true;
}

/// True when it had to be armed.
Result<bool> ProcessTracker::add_mapping(TracedProcess& process, const proc::Mapping& mapping, std::uint64_t since_ns) {
  const Result<Found> found = find_library(process.pid, mapping);
  if (!found) return found.error();
  library::Library& library = *found->library;
  const Result<bool> armed = armer_.arm(library, process.pid);
  if (!armed) return armed;
  library.live_mappings++;
  process.addresses.add({mapping, &library, found->stamp});
  std::erase_if(leaving_,
                [&](const Leaving& leaving) { return leaving.library == &library && leaving.pid == process.pid; });
  told_.insert(&library);
  if (on_change) {
    on_change({true, process.pid, &library, mapping.start, mapping.end, mapping.file_offset,
               *armed ? monotonic_ns() - since_ns : 0});
  }
  return armed;
}

Result<library::Library*> ProcessTracker::arm_mapping(pid_t pid, const proc::Mapping& mapping, std::uint64_t since_ns) {
  const Result<Found> found = find_library(pid, mapping);
  if (!found) return found.error();
  library::Library& library = *found->library;
  const Result<bool> armed = armer_.arm(library, pid);
  if (!armed) return armed.error();
  const std::uint64_t armed_ns = *armed ? monotonic_ns() - since_ns : 0;
  if (on_change && library.live_mappings == 0)
    on_change({true, pid, &library, mapping.start, mapping.end, mapping.file_offset, armed_ns});
  return &library;
}

void ProcessTracker::let_go_of_held(library::Library& library) {
  library.live_mappings--;
  TRACER_CHECK(library.live_mappings >= 0);
  const bool may_come_back = armer_.has_heap_functions(library);
  leaving_.push_back({&library, kNobody, may_come_back ? monotonic_ns() + kLingerNs : 0});
}

/// A pid has two address spaces for a moment at exec: the links that serve the old one go on to serve the new one.
bool ProcessTracker::is_mapped_by(pid_t pid, const library::Library& library) const {
  return std::ranges::any_of(processes_, [&](const auto& entry) {
    const TracedProcess& process = *entry.second;
    return process.pid == pid && !process.ended && process.addresses.maps(library);
  });
}

void ProcessTracker::let_go(TracedProcess& process, const std::vector<MappedLibrary>& mapped) {
  for (const MappedLibrary& gone : mapped) {
    library::Library& library = *gone.library;
    library.live_mappings--;
    TRACER_CHECK(library.live_mappings >= 0);
    if (on_change)
      on_change({false, process.pid, &library, gone.mapping.start, gone.mapping.end, gone.mapping.file_offset, 0});
    if (is_mapped_by(process.pid, library)) continue;
    const bool may_come_back = !process.ended && armer_.has_heap_functions(library);
    leaving_.push_back({&library, process.pid, may_come_back ? monotonic_ns() + kLingerNs : 0});
  }
}

std::vector<library::Library*> ProcessTracker::make_way_for_writers() {
  std::vector<library::Library*> libraries;
  kernel::detach_all(armer_.disarm_contested(&libraries));
  return libraries;
}

void ProcessTracker::retire_unmapped() {
  ProbeArmer::Links released;
  const std::uint64_t now = monotonic_ns();
  for (const Leaving& leaving : std::exchange(leaving_, {})) {
    library::Library& library = *leaving.library;
    const bool may_come_back = now < leaving.deadline_ns && links_of(library.file()) > 0;
    const bool is_untold = std::ranges::any_of(untold_, [&](const auto& untold) { return untold.library == &library; });
    if (may_come_back || is_untold) {
      leaving_.push_back(leaving);
      continue;
    }
    std::ranges::move(armer_.release(library, leaving.pid), std::back_inserter(released));
    // It may be mapped by another process, or be on its way out twice.
    const bool is_held = library.live_mappings > 0 ||
                         std::ranges::any_of(leaving_, [&](const Leaving& other) { return other.library == &library; });
    if (is_held || library.state() == library::State::kRetired) continue;
    if (before_retire) before_retire(library);
    library.retire();
  }
  detacher_.detach(std::move(released));
}

void ProcessTracker::meet_modules() {
  tell_transient();
  for (const std::uint32_t count = object_.module_count(); next_module_ < count; ++next_module_)
    unmet_.push_back(next_module_);
  std::erase_if(unmet_, [this](std::uint32_t number) {
    if (__atomic_load_n(&object_.modules()[number].known, __ATOMIC_ACQUIRE) == 0) return false;
    meet(number);
    return true;
  });
}

/// Gets to know a file, unless a mapping that was read has shown it.
void ProcessTracker::meet(std::uint32_t number) {
  const tr_module& module = object_.modules()[number];
  const auto pid = static_cast<pid_t>(module.tgid);
  library::Library* library = cache_.find(number);
  if (library == nullptr) library = find_by_mapping(number);
  if (library == nullptr) library = find_again(number);
  if (library == nullptr) {
    library = &cache_.add_lost(number, identity_of(module), name_of(module));
    if (!library->was_inspected())
      log::verbose("{} was mapped by pid {} and gone before it could be read", name_of(module), pid);
    if (on_found) on_found(*library, pid);
    if (on_number) on_number(number, *library);
  }
  // The tracer itself has mapped files to identify them.
  if (pid != ::getpid() && library->live_mappings == 0 && !told_.contains(library))
    untold_.push_back({library, number});
}

/// Tells of the files that were met in the last round and that no mapping has shown since: they have come and gone.
void ProcessTracker::tell_transient() {
  for (const auto& [library, number] : std::exchange(untold_, {})) {
    if (library->live_mappings > 0 || !told_.insert(library).second) continue;
    const tr_module& module = object_.modules()[number];
    const auto pid = static_cast<pid_t>(module.tgid);
    LibraryChange change{true, pid, library, module.start, module.end, module.file_offset, 0};
    if (on_change) on_change(change);
    change.loaded = false;
    if (on_change) on_change(change);
  }
}

Result<std::uint32_t> ProcessTracker::meet_vdso() {
  Result<UniqueFd> copy = copy_vdso();
  if (!copy) return std::move(copy).error();
  const Result<std::uint32_t> number = object_.identify(copy->get());
  if (!number) return number;
  Result<library::Library*> library = find_library(std::move(*copy), "[vdso]", ::getpid(), *number);
  if (!library) return std::move(library).error();
  // Mapped by somebody at all times.
  (*library)->live_mappings++;
  return *number;
}

library::Library* ProcessTracker::find_by_mapping(std::uint32_t number) {
  const tr_module& module = object_.modules()[number];
  const auto pid = static_cast<pid_t>(module.tgid);
  proc::Mapping mapping;
  mapping.start = module.start;
  mapping.end = module.end;
  mapping.path = name_of(module);
  Result<UniqueFd> file = proc::open_mapped_file(pid, mapping);
  if (!file) return nullptr;
  const std::string path = path_of(*file, mapping.path);
  Result<library::Library*> library = find_library(std::move(*file), path, pid, number);
  return library ? *library : nullptr;
}

library::Library* ProcessTracker::find_again(std::uint32_t number) {
  const tr_module& module = object_.modules()[number];
  for (const PathToTry& path : paths_to_try(module)) {
    UniqueFd file = open_regular(path.root + path.seen);
    if (!file.valid()) continue;
    Result<library::Library*> library =
        find_library(std::move(file), path.seen, static_cast<pid_t>(module.tgid), number);
    if (library) return *library;
  }
  return nullptr;
}

void ProcessTracker::disarm(const TracedProcess& process) {
  ProbeArmer::Links released;
  for (const MappedLibrary& mapped : process.addresses.mapped()) {
    if (armer_.has_heap_functions(*mapped.library))
      std::ranges::move(armer_.release(*mapped.library, process.pid), std::back_inserter(released));
  }
  detacher_.detach(std::move(released));
}

void ProcessTracker::end(TracedProcess& process) {
  if (process.ended) return;
  process.ended = true;
  process.is_let_go = true;
  let_go(process, process.addresses.end());
}

TracedProcess* ProcessTracker::find_space(std::uint32_t space) {
  const auto found = processes_.find(space);
  return found == processes_.end() ? nullptr : found->second.get();
}

TracedProcess* ProcessTracker::find_live(pid_t pid) {
  for (auto& [space, process] : processes_) {
    if (process->pid == pid && process->is_live()) return process.get();
  }
  return nullptr;
}

bool ProcessTracker::has_allocator(const TracedProcess& process) const {
  return std::ranges::any_of(process.addresses.mapped(),
                             [&](const MappedLibrary& mapped) { return armer_.has_heap_functions(*mapped.library); });
}

}  // namespace tracer::tracing
