// SPDX-License-Identifier: Apache-2.0
#include "session/machine_filter.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <cstring>

#include "proc/cgroup.h"

namespace tracer::session {
namespace {

static_assert(proc::kLongestCommGlob < TR_COMM_GLOB);

Result<void> check_count(std::size_t count, const char* option) {
  if (count <= TR_FILTER_ENTRIES) return {};
  return Error(ErrorKind::kUsage, fmt::format("{}: {} values, {} are the most", option, count, TR_FILTER_ENTRIES),
               "a pattern, or a cgroup further up, covers many");
}

Result<void> fill_cgroups(const proc::ProcessFilter& filter, tr_filter* out) {
  if (filter.cgroups.empty() && filter.containers.empty()) return {};
  Result<proc::CgroupTree> tree = proc::CgroupTree::open();
  if (!tree) return std::move(tree).error();
  std::vector<proc::Cgroup> found;
  for (const std::string& path : filter.cgroups) {
    Result<proc::Cgroup> cgroup = tree->find(path);
    if (!cgroup) return std::move(cgroup).error();
    found.push_back(std::move(*cgroup));
  }
  for (const std::string& container : filter.containers) {
    Result<std::vector<proc::Cgroup>> cgroups = tree->find_container(container);
    if (!cgroups) return std::move(cgroups).error();
    found.insert(found.end(), cgroups->begin(), cgroups->end());
  }
  if (Result<void> fits = check_count(found.size(), "--cgroup and --container"); !fits) return fits;
  for (const proc::Cgroup& cgroup : found) {
    out->cgroup_id[out->cgroup_count] = cgroup.id;
    out->cgroup_level[out->cgroup_count++] = cgroup.level;
  }
  return {};
}

/// The kernel's own encoding of a device number, which its programs get to see.
std::uint64_t kernel_device(dev_t device) { return std::uint64_t{major(device)} << 20 | minor(device); }

Result<void> fill_pid_namespace(const proc::PidNamespace& wanted, tr_filter* out) {
  const std::string path = fmt::format("/proc/{}/ns/pid", wanted.pid == 0 ? "self" : std::to_string(wanted.pid));
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0)
    return Error::from_errno(errno, fmt::format("--pidns: cannot look at {}", path),
                             "give a process that is in the namespace, or the inode number that 'lsns -t pid' shows");
  out->has_pid_namespace = 1;
  out->pid_namespace_device = kernel_device(status.st_dev);
  out->pid_namespace_inode = wanted.pid == 0 ? wanted.inode : status.st_ino;
  return {};
}

}  // namespace

Result<tr_filter> kernel_filter(const proc::ProcessFilter& filter) {
  tr_filter out{};
  for (auto [count, option] : {std::pair{filter.comms.size(), "--comm"}, {filter.users.size(), "--user"}}) {
    if (Result<void> fits = check_count(count, option); !fits) return std::move(fits).error();
  }
  for (const std::string& comm : filter.comms) std::strncpy(out.comm[out.comm_count++], comm.c_str(), TR_COMM_GLOB - 1);
  for (const uid_t user : filter.users) out.uid[out.uid_count++] = user;
  if (Result<void> filled = fill_cgroups(filter, &out); !filled) return std::move(filled).error();
  if (!filter.pidns) return out;
  if (Result<void> filled = fill_pid_namespace(*filter.pidns, &out); !filled) return std::move(filled).error();
  return out;
}

}  // namespace tracer::session
