// SPDX-License-Identifier: Apache-2.0
#include "proc/process_matcher.h"

#include <unistd.h>

#include <algorithm>

#include "proc/cgroup.h"
#include "proc/process.h"

namespace tracer::proc {
namespace {

bool is_at_or_below(const std::string& path, const std::string& cgroup) {
  if (cgroup == "/" || path == cgroup) return true;
  return path.size() > cgroup.size() && path.starts_with(cgroup) && path[cgroup.size()] == '/';
}

}  // namespace

bool matches_glob(std::string_view glob, std::string_view name) {
  std::size_t at = 0, next = 0, star = std::string_view::npos, resume = 0;
  while (at < name.size()) {
    if (next < glob.size() && glob[next] == '*') {
      star = ++next;
      resume = at;
    } else if (next < glob.size() && (glob[next] == '?' || glob[next] == name[at])) {
      ++next;
      ++at;
    } else if (star != std::string_view::npos) {
      next = star;
      at = ++resume;
    } else {
      return false;
    }
  }
  return glob.substr(next).find_first_not_of('*') == std::string_view::npos;
}

Result<ProcessMatcher> ProcessMatcher::create(ProcessFilter filter, const std::string& proc_root) {
  ProcessMatcher matcher(std::move(filter), proc_root);
  const ProcessFilter& wanted = matcher.filter_;
  if (wanted.pidns && wanted.pidns->pid != 0) {
    Result<std::uint64_t> inode = read_pid_namespace(wanted.pidns->pid, proc_root);
    if (!inode)
      return Error(inode.error().kind(), "--pidns: " + inode.error().message(),
                   "give a process that is in the namespace, or the inode number that 'lsns -t pid' shows");
    matcher.pid_namespace_ = *inode;
  } else if (wanted.pidns) {
    matcher.pid_namespace_ = wanted.pidns->inode;
  }
  if (wanted.cgroups.empty()) return matcher;
  Result<CgroupTree> tree = CgroupTree::open(proc_root);
  if (!tree) return std::move(tree).error();
  for (const std::string& text : wanted.cgroups) {
    Result<Cgroup> cgroup = tree->find(text);
    if (!cgroup) return std::move(cgroup).error();
    matcher.cgroups_.push_back(cgroup->path);
  }
  return matcher;
}

bool ProcessMatcher::matches_cgroup(pid_t pid) const {
  if (cgroups_.empty() && filter_.containers.empty()) return true;
  const Result<CgroupPlace> place = read_cgroup(pid, proc_root_);
  if (!place) return false;
  return std::ranges::any_of(cgroups_, [&](const auto& cgroup) { return is_at_or_below(place->path, cgroup); }) ||
         std::ranges::any_of(filter_.containers,
                             [&](const auto& text) { return names_container(text, place->container); });
}

bool ProcessMatcher::matches(pid_t pid) const {
  if (pid == ::getpid() || std::ranges::count(filter_.excluded_pids, pid) > 0) return false;
  const Result<ProcessInfo> info = read_process(pid, proc_root_);
  if (!info || info->kernel_thread || info->zombie) return false;
  const auto fits = [&](const std::string& glob) { return matches_glob(glob, info->comm); };
  if (!filter_.comms.empty() && std::ranges::none_of(filter_.comms, fits)) return false;
  if (!filter_.users.empty() && (!info->uid || std::ranges::count(filter_.users, *info->uid) == 0)) return false;
  if (pid_namespace_ != 0) {
    const Result<std::uint64_t> inode = read_pid_namespace(pid, proc_root_);
    if (!inode || *inode != pid_namespace_) return false;
  }
  return matches_cgroup(pid);
}

std::vector<pid_t> ProcessMatcher::find(std::size_t most) const {
  std::vector<pid_t> found;
  const Result<std::vector<pid_t>> pids = read_processes(proc_root_);
  if (!pids) return found;
  for (const pid_t pid : *pids) {
    if (matches(pid)) found.push_back(pid);
    if (found.size() == most) break;
  }
  return found;
}

}  // namespace tracer::proc
