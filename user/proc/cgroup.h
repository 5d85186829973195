// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "proc/container.h"
#include "proc/mounts.h"

namespace tracer::proc {

/// A cgroup of the cgroup2 hierarchy, as BPF programs know it.
struct Cgroup {
  std::uint64_t id = 0;  ///< bpf_get_current_cgroup_id(); the inode number of its directory
  unsigned level = 0;    ///< for bpf_get_current_ancestor_cgroup_id(): the root is 0
  std::string path;      ///< as /proc/PID/cgroup writes it: "/", "/system.slice"
};

/// The cgroup2 hierarchy of the machine, through the place where it is mounted. Used by one thread.
class CgroupTree {
 public:
  /// Finds the mount of this process. Fails with kUnsupported when there is none, or none that shows the root of the
  /// hierarchy: levels count from there.
  static Result<CgroupTree> open(const std::string& proc_root = "/proc");
  /// `mount` shows the root of the hierarchy, or is a tree of directories that stands for it.
  explicit CgroupTree(std::string mount) : mount_(std::move(mount)) {}

  const std::string& mount() const { return mount_; }

  /// The cgroup that a user names: by its path as /proc/PID/cgroup writes it, with or without the slash in front, or by
  /// that of its directory. Fails with kNotFound when there is none, kUsage when it is not a path.
  Result<Cgroup> find(const std::string& text) const;

  /// The topmost cgroups of the containers that a user names, see names_container(); several when several ids begin so.
  /// Fails with kNotFound when there is none.
  Result<std::vector<Cgroup>> find_container(const std::string& text) const;

  /// The path of the cgroup with this id; empty when there is none. One that was found once is known after its removal
  /// too: the kernel does not use an id again.
  std::string path_of(std::uint64_t id);

 private:
  std::string mount_;
  std::unordered_map<std::uint64_t, std::string> paths_;
};

/// Where cgroup2 is mounted; first what shows the root of the hierarchy, or of the mounting process's cgroup namespace.
std::vector<Mount> cgroup2_mounts(const std::vector<Mount>& mounts);

/// Where a process is. Fails with kNotFound when it has exited.
Result<CgroupPlace> read_cgroup(pid_t pid, const std::string& proc_root = "/proc");

}  // namespace tracer::proc
