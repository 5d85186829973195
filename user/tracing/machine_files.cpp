// SPDX-License-Identifier: Apache-2.0
#include "tracing/machine_files.h"

#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "base/log.h"

namespace tracer::tracing {
namespace {

// Files looked at in a round when nothing has happened that we know of. Some microseconds each.
constexpr std::size_t kLookedAt = 64;

}  // namespace

MachineFiles::FileKey MachineFiles::key_of(const library::FileIdentity& identity) {
  return {identity.device_major, identity.device_minor, identity.inode, identity.generation};
}

Result<void> MachineFiles::scan() {
  const std::uint64_t now = monotonic_ns();
  const Result<std::vector<pid_t>> pids = proc::read_processes();
  if (!pids) return pids.error();
  std::set<FileKey> seen;
  for (const pid_t pid : *pids) {
    if (pid == ::getpid()) continue;
    Result<std::vector<proc::Mapping>> mappings = proc::read_maps(pid);
    if (!mappings) continue;  // it has ended
    for (const proc::Mapping& mapping : *mappings) {
      if (!mapping.executable || !mapping.is_file()) continue;
      if (seen.insert({mapping.device_major, mapping.device_minor, mapping.inode, 0}).second) meet(pid, mapping, now);
    }
  }
  return {};
}

void MachineFiles::on_mapping(const kernel::MappingEvent& event) {
  if (event.inode == 0 || event.pid == ::getpid()) return;
  if (held_keys_.contains({event.device_major, event.device_minor, event.inode, event.generation})) return;
  proc::Mapping mapping;
  mapping.start = event.start;
  mapping.end = event.end;
  mapping.file_offset = event.file_offset;
  mapping.inode = event.inode;
  mapping.path = event.path;
  meet(event.pid, mapping, event.time_ns);
}

void MachineFiles::meet(pid_t pid, const proc::Mapping& mapping, std::uint64_t since_ns) {
  const Result<library::Library*> met = tracker_.arm_mapping(pid, mapping, since_ns);
  if (!met) {
    // One that has gone already is nothing to speak of.
    if (met.error().kind() != ErrorKind::kGone) log::verbose("pid {}: {}", pid, met.error().message());
    return;
  }
  held_keys_.insert(key_of((*met)->identity()));
  // A file can have several names and numbers.
  if (std::ranges::any_of(held_, [&](const Held& held) { return held.library == *met; })) return;
  (*met)->live_mappings++;
  held_.push_back({*met});
}

/// A file about which the kernel cannot tell is kept.
bool MachineFiles::is_mapped(const library::Library& library) const {
  if (!library.file().valid()) return true;
  const Result<bool> mapped = object_.is_mapped(library.file().get());
  return !mapped || *mapped;
}

void MachineFiles::let_go_of_unmapped(bool is_urgent) {
  const std::size_t count = is_urgent ? held_.size() : std::min(kLookedAt, held_.size());
  for (std::size_t i = 0; i < count; ++i) {
    Held& held = held_[next_++ % held_.size()];
    const bool is_unmapped = !is_mapped(*held.library);
    held.is_over = is_unmapped && held.was_unmapped;
    held.was_unmapped = is_unmapped;
  }
  std::erase_if(held_, [this](const Held& held) {
    if (!held.is_over) return false;
    held_keys_.erase(key_of(held.library->identity()));
    tracker_.let_go_of_held(*held.library);
    return true;
  });
}

}  // namespace tracer::tracing
