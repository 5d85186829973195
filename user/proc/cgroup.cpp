// SPDX-License-Identifier: Apache-2.0
#include "proc/cgroup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <filesystem>
#include <optional>

#include "base/unique_fd.h"
#include "proc/proc_file.h"

namespace tracer::proc {
namespace {

namespace fs = std::filesystem;

constexpr ino_t kRootInode = 1;             // of every kernfs, fs/kernfs/dir.c
constexpr int kKernfsHandle = 0xfe;         // FILEID_KERNFS, include/linux/exportfs.h
constexpr std::size_t kMostPaths = 65'536;  // remembered; a machine has some hundreds at a time

bool shows_root_of_hierarchy(const Mount& mount) {
  struct statfs file_system {};
  struct stat root {};
  return ::statfs(mount.point.c_str(), &file_system) == 0 && file_system.f_type == CGROUP2_SUPER_MAGIC &&
         ::stat(mount.point.c_str(), &root) == 0 && root.st_ino == kRootInode;
}

/// The number of the directory, if it is one.
std::optional<std::uint64_t> directory_inode(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) return std::nullopt;
  return status.st_ino;
}

/// Names of the directories in a directory, in order; none when it is gone.
std::vector<std::string> children_of(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(path, error), end; !error && at != end; at.increment(error)) {
    std::error_code unreadable;
    if (at->symlink_status(unreadable).type() == fs::file_type::directory) names.push_back(at->path().filename());
  }
  std::ranges::sort(names);
  return names;
}

/// Opens a directory of the hierarchy by its id alone.
UniqueFd open_by_id(const std::string& mount, std::uint64_t id) {
  const UniqueFd root(::open(mount.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) return {};
  alignas(file_handle) std::array<unsigned char, sizeof(file_handle) + sizeof(id)> memory{};
  auto* handle = reinterpret_cast<file_handle*>(memory.data());
  handle->handle_bytes = sizeof(id);
  handle->handle_type = kKernfsHandle;
  std::memcpy(handle->f_handle, &id, sizeof(id));
  return UniqueFd(::open_by_handle_at(root.get(), handle, O_PATH | O_CLOEXEC));
}

}  // namespace

Result<CgroupTree> CgroupTree::open(const std::string& proc_root) {
  Result<std::vector<Mount>> mounts = read_mounts(::getpid(), proc_root);
  if (!mounts) return std::move(mounts).error();
  const std::vector<Mount> candidates = cgroup2_mounts(*mounts);
  for (const Mount& mount : candidates) {
    if (shows_root_of_hierarchy(mount)) return CgroupTree(mount.point);
  }
  if (candidates.empty())
    return Error(ErrorKind::kUnsupported, "no cgroup2 hierarchy is mounted", "mount -t cgroup2 none /sys/fs/cgroup");
  return Error(ErrorKind::kUnsupported,
               fmt::format("{} shows a part of the cgroup2 hierarchy only", candidates.front().point),
               "run tracer in the host's cgroup namespace: outside of containers, or with --cgroupns=host");
}

Result<Cgroup> CgroupTree::find(const std::string& text) const {
  std::string_view rest = text;
  if (rest.starts_with(mount_) && (rest.size() == mount_.size() || rest[mount_.size()] == '/'))
    rest.remove_prefix(mount_.size());
  Cgroup cgroup;
  for (const fs::path& part : fs::path(rest).relative_path()) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return Error(ErrorKind::kUsage, fmt::format("cgroup '{}': '..' has no place in it", text));
    cgroup.path += "/" + part.string();
    ++cgroup.level;
  }
  const std::optional<std::uint64_t> inode = directory_inode(mount_ + cgroup.path);
  if (!inode)
    return Error(
        ErrorKind::kNotFound, fmt::format("there is no cgroup '{}' in the cgroup2 hierarchy", text),
        fmt::format("it is mounted at {}; the line '0::' of /proc/PID/cgroup names that of a process", mount_));
  cgroup.id = *inode;
  if (cgroup.path.empty()) cgroup.path = "/";
  return cgroup;
}

Result<std::vector<Cgroup>> CgroupTree::find_container(const std::string& text) const {
  struct Directory {
    std::string path;  ///< empty: the root
    std::string name;
    unsigned level = 0;
  };
  std::vector<Cgroup> found;
  std::vector<Directory> waiting{{}};
  while (!waiting.empty()) {
    const Directory at = std::move(waiting.back());
    waiting.pop_back();
    for (std::string& name : children_of(mount_ + at.path)) {
      Directory child{at.path + "/" + name, std::move(name), at.level + 1};
      if (!names_container(text, container_of_component(at.name, child.name))) {
        waiting.push_back(std::move(child));
      } else if (const std::optional<std::uint64_t> inode = directory_inode(mount_ + child.path)) {
        // What is below counts with it.
        found.push_back({*inode, child.level, std::move(child.path)});
      }
    }
  }
  if (found.empty())
    return Error(ErrorKind::kNotFound, fmt::format("no cgroup below {} is that of a container '{}'", mount_, text),
                 "give its id, 6 or more of the id's first digits, or the name of an lxc or nspawn container");
  std::ranges::sort(found, {}, &Cgroup::path);
  return found;
}

std::string CgroupTree::path_of(std::uint64_t id) {
  if (const auto known = paths_.find(id); known != paths_.end()) return known->second;
  const UniqueFd directory = open_by_id(mount_, id);
  if (!directory.valid()) return {};
  std::array<char, PATH_MAX> target{};
  const std::string link = fmt::format("/proc/self/fd/{}", directory.get());
  const ssize_t length = ::readlink(link.c_str(), target.data(), target.size());
  std::string_view path(target.data(), length < 0 ? 0 : static_cast<std::size_t>(length));
  if (!path.starts_with(mount_)) return {};
  path.remove_prefix(mount_.size());
  if (paths_.size() >= kMostPaths) paths_.clear();
  return paths_[id] = path.empty() ? "/" : path;
}

std::vector<Mount> cgroup2_mounts(const std::vector<Mount>& mounts) {
  std::vector<Mount> found;
  std::ranges::copy_if(mounts, std::back_inserter(found), [](const Mount& mount) { return mount.type == "cgroup2"; });
  std::stable_partition(found.begin(), found.end(), [](const Mount& mount) { return mount.root == "/"; });
  return found;
}

Result<CgroupPlace> read_cgroup(pid_t pid, const std::string& proc_root) {
  Result<std::string> text = read_proc_file(fmt::format("{}/{}/cgroup", proc_root, pid));
  if (!text) return no_process(pid, std::move(text).error());
  return parse_cgroup(*text);
}

}  // namespace tracer::proc
