// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernel/probe_link.h"
#include "library/library.h"
#include "library/write_guard.h"
#include "tracing/probe_plan.h"

namespace tracer::tracing {

/// Attaches the probes of libraries, and detaches them.
///
/// In the scope kOneProcess each traced process has links of its own, and no other process pays. In kAllProcesses one
/// link per file serves all, and the kernel half filters: the only way that a forked child is traced from its first
/// allocation on.
///
/// Heap probes can be switched off for all libraries at once; those of the dynamic linker stay, so that libraries are
/// followed meanwhile. A library whose heap probes are off is Disarmed.
class ProbeArmer {
 public:
  enum class Scope { kOneProcess, kAllProcesses };
  using Links = std::vector<std::unique_ptr<kernel::ProbeLink>>;

  /// `catalogue` has to outlive it.
  ProbeArmer(std::unique_ptr<kernel::ProbeAttacher> attacher, Scope scope, const Catalogue& catalogue)
      : attacher_(std::move(attacher)), scope_(scope), catalogue_(catalogue) {}

  /// Arms an inspected library for a process, as far as the switch allows. True when something was attached; false when
  /// it defines no function of the catalogue, is armed already, or everything has been detached for good.
  Result<bool> arm(library::Library& library, pid_t pid);

  /// The process does not map the library any more. Returns what is to be detached.
  Links release(library::Library& library, pid_t pid);

  /// Whether a link of it serves the process.
  bool is_armed_for(const library::Library& library, pid_t pid) const;

  /// Switches heap probes off. The links are for the caller to detach, with kernel::detach_all().
  Links disarm_heap();
  /// Switches heap probes on, for all that release() has not been called for. The first failure is returned; what could
  /// be armed is.
  Result<void> arm_heap();

  /// Lets go of the libraries whose files somebody waits to write to, and tells which. The links have to be detached at
  /// once: the writer goes on then.
  Links disarm_contested(std::vector<library::Library*>* libraries);

  /// Lets go of everything that is attached; nothing can be armed from here on. The plans stay known.
  Links disarm_all();

  /// Functions of the catalogue in a library, by all their names; empty when it has none.
  std::vector<std::string> functions(const library::Library& library) const;
  /// Whether anything in it can allocate.
  bool has_heap_functions(const library::Library& library) const;

 private:
  struct Probes {
    Links loader;
    Links heap;
  };
  struct Armed {
    library::Library* library = nullptr;
    ProbePlan plan;
    std::map<pid_t, Probes> probes;            ///< by process; kAnyProcess for all
    std::weak_ptr<library::WriteGuard> guard;  ///< held by the links
  };

  Result<bool> attach(Armed& armed, bool heap, pid_t pid, Links* links);
  pid_t key_of(pid_t pid) const;
  static void settle(const Armed& armed);

  std::unique_ptr<kernel::ProbeAttacher> attacher_;
  Scope scope_;
  const Catalogue& catalogue_;
  bool heap_on_ = true;
  bool closed_ = false;
  std::map<std::uint32_t, Armed> armed_;  ///< by module id
};

}  // namespace tracer::tracing
