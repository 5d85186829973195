// SPDX-License-Identifier: Apache-2.0
#include "tracing/process_tracker.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace tracer::tracing {
namespace {

// A process that loads and unloads without a pause is read this often before we go on with what we have; its next
// announcement brings us back.
constexpr int kMostReads = 16;

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
  child.addresses = parent.addresses.forked();
  for (const ExecutableRange& range : child.addresses.ranges()) {
    if (range.library != nullptr) range.library->live_mappings++;
  }
  return child;
}

std::uint32_t ProcessTracker::epoch_of(const TracedProcess& process) const {
  return __atomic_load_n(&object_.spaces()[process.space].epoch, __ATOMIC_ACQUIRE);
}

Result<void> ProcessTracker::refresh(TracedProcess& process) {
  if (!process.is_live()) return Error(ErrorKind::kGone, "the process has ended");
  for (int i = 0; i < kMostReads; ++i) {
    Result<bool> stable = read_once(process);
    if (!stable) return std::move(stable).error();
    if (*stable) return {};
  }
  log::verbose("pid {}: mappings change faster than they can be read", process.pid);
  return {};
}

/// True when nothing was new, so that everything armed is known to be mapped still.
Result<bool> ProcessTracker::read_once(TracedProcess& process) {
  const std::uint32_t epoch = epoch_of(process);
  Result<std::vector<proc::Mapping>> mappings = proc::read_maps(process.pid);
  if (!mappings) return std::move(mappings).error();
  if (mappings->empty()) return Error(ErrorKind::kGone, "the process has no address space any more");
  if (epoch_of(process) != epoch) return false;

  const auto is_same_file = [&](const ExecutableRange& range) {
    if (range.library == nullptr) return true;
    Result<UniqueFd> file = proc::open_mapped_file(process.pid, range.mapping);
    if (!file) return false;
    Result<library::FileIdentity> identity = library::FileIdentity::of(file->get());
    return identity.ok() && *identity == range.library->identity();
  };
  const AddressSpace::Update update = process.addresses.update(*mappings, epoch, is_same_file);
  Result<bool> stable = update.appeared.empty();
  for (const proc::Mapping& mapping : update.appeared) {
    Result<void> added = add_mapping(process, mapping, epoch);
    // A mapping that went away in between is no failure: the next read will not list it.
    if (added || added.error().kind() == ErrorKind::kGone) continue;
    stable = std::move(added).error();
    break;
  }
  let_go(process, update.vanished);
  return stable;
}

Result<void> ProcessTracker::add_mapping(TracedProcess& process, const proc::Mapping& mapping, std::uint32_t epoch) {
  if (!mapping.is_file()) {
    process.addresses.add(mapping, nullptr, epoch);
    return {};
  }
  Result<UniqueFd> file = proc::open_mapped_file(process.pid, mapping);
  if (!file) return std::move(file).error();
  Result<library::Library*> found = cache_.find_or_inspect(std::move(*file), mapping.path);
  if (!found) return std::move(found).error();
  library::Library& library = **found;
  if (Result<void> armed = armer_.arm(library, process.pid); !armed) return armed;
  library.live_mappings++;
  process.addresses.add(mapping, &library, epoch);
  if (on_change) on_change({true, process.pid, &library, mapping});
  return {};
}

/// A pid has two address spaces for a moment at exec: the links that serve the old one go on to serve the new one.
bool ProcessTracker::is_mapped_by(pid_t pid, const library::Library& library) const {
  for (const auto& [space, process] : processes_) {
    if (process->pid != pid || process->ended) continue;
    for (const ExecutableRange& range : process->addresses.ranges()) {
      if (range.live && range.library == &library) return true;
    }
  }
  return false;
}

void ProcessTracker::let_go(TracedProcess& process, const std::vector<ExecutableRange>& ranges) {
  for (const ExecutableRange& range : ranges) {
    if (range.library == nullptr) continue;
    library::Library& library = *range.library;
    library.live_mappings--;
    TRACER_CHECK(library.live_mappings >= 0);
    if (on_change) on_change({false, process.pid, &library, range.mapping});
    if (is_mapped_by(process.pid, library)) continue;
    armer_.release(library, process.pid);
    if (library.live_mappings == 0) unmapped_.insert(&library);
  }
}

void ProcessTracker::retire_unmapped() {
  for (library::Library* library : std::exchange(unmapped_, {})) {
    // It may have been mapped again since.
    if (library->live_mappings > 0) continue;
    if (before_retire) before_retire(*library);
    library->retire();
  }
}

void ProcessTracker::end(TracedProcess& process) {
  if (process.ended) return;
  process.ended = true;
  let_go(process, process.addresses.end(epoch_of(process)));
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
  return std::ranges::any_of(process.addresses.ranges(), [&](const ExecutableRange& range) {
    return range.live && range.library != nullptr && armer_.has_heap_functions(*range.library);
  });
}

}  // namespace tracer::tracing
