// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <set>
#include <tuple>
#include <vector>

#include "base/result.h"
#include "kernel/bpf_object.h"
#include "kernel/mapping_events.h"
#include "tracing/process_tracker.h"

namespace tracer::tracing {

/// The executable files that the processes of the machine map, each inspected once and armed once for all of them.
///
/// Files that are mapped already are found in /proc; the kernel tells of each new mapping, of which all but the first
/// of a file are passed over. A file is held, armed and open, for as long as any process maps it: that is asked of the
/// kernel, since nobody here keeps lists of the mappings of all processes. Used by the session thread.
class MachineFiles {
 public:
  MachineFiles(kernel::BpfObject& object, ProcessTracker& tracker) : object_(object), tracker_(tracker) {}

  /// Reads the mappings of all processes.
  Result<void> scan();

  /// Somebody has mapped a file.
  void on_mapping(const kernel::MappingEvent& event);

  /// Lets go of files that nobody maps any more: those that a round before did not see mapped either. To be called
  /// every second or so. Looks at a part of the files, at all of them if `is_urgent`: a process has ended.
  void let_go_of_unmapped(bool is_urgent);

  std::size_t held() const { return held_.size(); }

 private:
  struct Held {
    library::Library* library;
    bool was_unmapped = false;
    bool is_over = false;
  };
  /// Device, inode, generation.
  using FileKey = std::tuple<std::uint32_t, std::uint32_t, std::uint64_t, std::uint64_t>;
  static FileKey key_of(const library::FileIdentity& identity);

  void meet(pid_t pid, const proc::Mapping& mapping, std::uint64_t since_ns);
  bool is_mapped(const library::Library& library) const;

  kernel::BpfObject& object_;
  ProcessTracker& tracker_;
  std::vector<Held> held_;
  std::set<FileKey> held_keys_;
  std::size_t next_ = 0;  ///< of `held_`, to be looked at
};

}  // namespace tracer::tracing
