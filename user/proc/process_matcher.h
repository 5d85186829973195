// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "proc/process_filter.h"

namespace tracer::proc {

/// Whether a name matches a glob of comm_glob().
bool matches_glob(std::string_view glob, std::string_view name);

/// Asks about single processes what a ProcessFilter means, by what /proc says of them at that moment.
class ProcessMatcher {
 public:
  /// Fails when a cgroup or namespace that the filter names does not exist.
  static Result<ProcessMatcher> create(ProcessFilter filter, const std::string& proc_root = "/proc");

  /// False also for processes that have ended, kernel threads, and this process.
  bool matches(pid_t pid) const;

  /// Those of the running processes that match; of more than `most` the first ones that were found.
  std::vector<pid_t> find(std::size_t most) const;

 private:
  explicit ProcessMatcher(ProcessFilter filter, const std::string& proc_root)
      : filter_(std::move(filter)), proc_root_(proc_root) {}
  bool matches_cgroup(pid_t pid) const;

  ProcessFilter filter_;
  std::string proc_root_;
  std::vector<std::string> cgroups_;  ///< as /proc/PID/cgroup writes them
  std::uint64_t pid_namespace_ = 0;   ///< inode; 0: any
};

}  // namespace tracer::proc
