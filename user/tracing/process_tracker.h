// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "kernel/bpf_object.h"
#include "library/library_cache.h"
#include "proc/process.h"
#include "tracing/address_space.h"
#include "tracing/probe_armer.h"

namespace tracer::tracing {

/// A stack of an address space in the kernel half's store, and what it means.
struct StoredStack {
  std::uint32_t id = 0;
  heap::StackId meaning = 0;
};

/// One traced address space: a process from attach, fork or exec to its exec or exit.
struct TracedProcess {
  std::uint32_t space = 0;
  pid_t pid = 0;

  // Who it is.
  proc::ProcessInfo info;
  std::string user;    ///< name of info.uid; this and what follows: empty when not known
  std::string cgroup;  ///< see proc::CgroupPlace
  std::string container;
  std::uint32_t execs = 0;  ///< programs that the process has left since it was first seen

  // What it maps, and its stacks.
  AddressSpace addresses;
  bool is_unsettled = false;              ///< a mapping could not be read at the last refresh: look again soon
  std::vector<StoredStack> stacks;        ///< those that are resolved
  std::vector<std::uint32_t> unresolved;  ///< stored, not resolved yet
  std::uint32_t newest_stack = 0;         ///< the last one of the store's list that has been seen

  // For the overhead guard.
  std::uint64_t calls_seen = 0;  ///< of allocator functions, when it was last looked at
  bool is_muted = false;         ///< it lost too much time: nothing is recorded of it any more

  // How it ends.
  bool replaced = false;  ///< by exec: its libraries stay armed until end()
  bool ended = false;
  bool is_let_go = false;  ///< nothing is armed for it any more; not so for the last one, which the last report names
  std::optional<std::uint64_t> settle_by_ns;  ///< once it has ended: no stack is waited for after that

  bool is_live() const { return !ended && !replaced; }
};

/// A library that a process has begun or ceased to map.
struct LibraryChange {
  bool loaded = false;
  pid_t pid = 0;
  library::Library* library = nullptr;
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint64_t file_offset = 0;
  std::uint64_t armed_ns = 0;  ///< from the announcement until its probes were attached; 0 when none were
};

/// Knows which files the traced processes map, and keeps exactly those armed.
///
/// What is mapped is read from the kernel's list each time something says that it may have changed; probes are armed
/// through the mapping itself, and the list is read once more afterwards: what is not there any more is detached again.
/// Files are known by the numbers that the kernel half gives them. Used by the session thread.
class ProcessTracker {
 public:
  ProcessTracker(kernel::BpfObject& object, library::LibraryCache& cache, ProbeArmer& armer)
      : object_(object), cache_(cache), armer_(armer) {}

  /// Told of each change, before probes of an unloaded library's file are let go.
  std::function<void(const LibraryChange&)> on_change;
  /// A library is known whose file has not been handed out since it was last retired; `pid` maps it or has mapped it.
  std::function<void(const library::Library&, pid_t pid)> on_found;
  /// The kernel half knows the file of a library by this number, one of several perhaps. The file is open unless the
  /// library was missed.
  std::function<void(std::uint32_t number, const library::Library&)> on_number;
  /// The last moment at which a library's file is open.
  std::function<void(library::Library&)> before_retire;

  /// Begins to track a process in an address space that the kernel half knows under `space`.
  TracedProcess& add(pid_t pid, std::uint32_t space);

  /// The same for a forked child, which begins with its parent's mappings: if it ends before they are read, they are
  /// known all the same.
  TracedProcess& add_fork(pid_t pid, std::uint32_t space, const TracedProcess& parent);

  /// Reads the mappings anew, arms what is new, lets go what is gone. `since_ns` is when the change was announced.
  /// Fails with kGone when the process has ended.
  Result<void> refresh(TracedProcess& process, std::uint64_t since_ns);

  /// Arms a file that `pid` maps, for all processes, and tells of it. Whoever calls holds it: live_mappings is theirs
  /// to count, and let_go_of_held() to be called when it is 0 again. Fails with kGone when the mapping is not there any
  /// more.
  Result<library::Library*> arm_mapping(pid_t pid, const proc::Mapping& mapping, std::uint64_t since_ns);
  void let_go_of_held(library::Library& library);

  /// Gets to know the files that the kernel half has numbered since the last call, as far as no mapping that was read
  /// has shown them: some come and go faster than mappings can be read.
  void meet_modules();

  /// Gets to know the code that the kernel maps into every process. Returns its number.
  Result<std::uint32_t> meet_vdso();

  /// Opens the file behind a number that the kernel half gave out, if it is still where it was, until
  /// retire_unmapped(). nullptr if it is not.
  library::Library* find_again(std::uint32_t number);

  /// Somebody wants to write to files that are armed: lets go of these before anything else. Returns their libraries.
  std::vector<library::Library*> make_way_for_writers();

  /// Retires the libraries that no traced process maps any more, each after a call of `before_retire`. Not done at
  /// once, so that the caller can first resolve the stacks that mention them.
  void retire_unmapped();

  /// The process has executed another program. What it had armed stays armed until end() is called, which is for when
  /// the new program has loaded its libraries: they are mostly the same files, and a probe for a process outlives its
  /// exec.
  void replace(TracedProcess& process) { process.replaced = true; }

  /// What it held has been told and given back: nothing is known of it from here on.
  void forget(std::uint32_t space) { processes_.erase(space); }

  /// The address space has ended by exit, or its successor after an exec has settled.
  void end(TracedProcess& process);

  /// Detaches what is attached for the process alone; its mappings are followed on.
  void disarm(const TracedProcess& process);

  TracedProcess* find_space(std::uint32_t space);
  TracedProcess* find_live(pid_t pid);
  const std::map<std::uint32_t, std::unique_ptr<TracedProcess>>& processes() const { return processes_; }

  /// Whether the process maps an allocator that we know.
  bool has_allocator(const TracedProcess& process) const;

 private:
  struct Found {
    library::Library* library = nullptr;
    proc::FileStamp stamp;
  };

  Result<bool> read_once(TracedProcess& process, std::uint64_t since_ns);
  Result<Found> find_library(pid_t pid, const proc::Mapping& mapping);
  Result<library::Library*> find_library(UniqueFd file, const std::string& path, pid_t pid, std::uint32_t expected);
  bool is_same_file(pid_t pid, MappedLibrary& mapped);
  Result<bool> add_mapping(TracedProcess& process, const proc::Mapping& mapping, std::uint64_t since_ns);
  void let_go(TracedProcess& process, const std::vector<MappedLibrary>& mapped);
  void meet(std::uint32_t number);
  library::Library* find_by_mapping(std::uint32_t number);
  void tell_transient();
  bool is_mapped_by(pid_t pid, const library::Library& library) const;

  kernel::BpfObject& object_;
  library::LibraryCache& cache_;
  ProbeArmer& armer_;
  std::map<std::uint32_t, std::unique_ptr<TracedProcess>> processes_;
  kernel::Detacher detacher_;
  std::uint32_t next_module_ = 1;
  std::set<const library::Library*> told_;  ///< those that on_change has been called for
  std::vector<std::uint32_t> unmet_;        ///< numbers given out, not yet filled in by the kernel half

  /// A file that the kernel half has met, before a mapping of it was read.
  struct Untold {
    library::Library* library;
    std::uint32_t number;
  };
  std::vector<Untold> untold_;

  /// A library that a process does not map any more, and whose probes or file are still to be let go.
  struct Leaving {
    library::Library* library;
    pid_t pid;
    std::uint64_t deadline_ns;
  };
  std::vector<Leaving> leaving_;
};

}  // namespace tracer::tracing
