// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernel/probe_link.h"
#include "library/library.h"
#include "tracing/probe_plan.h"

namespace tracer::tracing {

/// Attaches the probes of libraries, and detaches them.
///
/// In the scope kOneProcess each traced process has links of its own, and no other process pays. In kAllProcesses one
/// link per file serves all, and the kernel half filters: the only way that a forked child is traced from its first
/// allocation on.
class ProbeArmer {
 public:
  enum class Scope { kOneProcess, kAllProcesses };

  ProbeArmer(std::unique_ptr<kernel::ProbeAttacher> attacher, Scope scope)
      : attacher_(std::move(attacher)), scope_(scope) {}

  /// Arms an inspected library for a process; does nothing when it defines no function of the catalogue, or is armed
  /// already.
  Result<void> arm(library::Library& library, pid_t pid);

  /// The process does not map the library any more.
  void release(library::Library& library, pid_t pid);

  /// Lets go of everything that is attached: the links, for the caller to detach with kernel::detach_all(). The plans
  /// stay known.
  std::vector<std::unique_ptr<kernel::ProbeLink>> disarm_all(
      const std::vector<std::unique_ptr<library::Library>>& libraries);

  /// Functions armed in a library, by all their names; empty when it has none.
  std::vector<std::string> functions(const library::Library& library) const;
  /// Whether anything in it can allocate: some heap function is armed.
  bool has_heap_functions(const library::Library& library) const;
  /// The plan of an armed library; empty when it has none.
  const std::vector<PlannedProbe>& plan(const library::Library& library) const;

 private:
  using Links = std::vector<std::unique_ptr<kernel::ProbeLink>>;
  struct Armed {
    std::vector<PlannedProbe> plan;
    std::map<pid_t, Links> links;  ///< by process; -1 for all
  };

  Result<Links> attach(const library::Library& library, const std::vector<PlannedProbe>& plan, pid_t pid);

  std::unique_ptr<kernel::ProbeAttacher> attacher_;
  Scope scope_;
  std::map<std::uint32_t, Armed> armed_;  ///< by module id
};

}  // namespace tracer::tracing
