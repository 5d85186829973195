// SPDX-License-Identifier: Apache-2.0
#include "proc/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <sstream>

#include "base/unique_fd.h"

namespace tracer::proc {
namespace {

constexpr unsigned long kKernelThreadFlag = 0x00200000;  // PF_KTHREAD, include/linux/sched.h

Result<std::string> read_file(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return Error::from_errno(errno, "cannot read " + path);
  std::string text;
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error::from_errno(errno, "cannot read " + path);
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

}  // namespace

Result<ProcessInfo> read_process(pid_t pid, const std::string& proc_root) {
  const std::string root = fmt::format("{}/{}", proc_root, pid);
  Result<std::string> stat = read_file(root + "/stat");
  if (!stat) {
    if (stat.error().kind() == ErrorKind::kPermission) return std::move(stat).error();
    return Error(ErrorKind::kNotFound, fmt::format("there is no process {}", pid));
  }
  ProcessInfo info;
  info.pid = pid;
  const std::size_t open = stat->find('(');
  const std::size_t close = stat->rfind(')');
  if (open == std::string::npos || close == std::string::npos || close < open)
    return Error(ErrorKind::kCorrupt, "unexpected contents of " + root + "/stat");
  info.comm = stat->substr(open + 1, close - open - 1);
  std::istringstream fields(stat->substr(close + 1));
  std::string state;
  unsigned long flags = 0;
  std::string skipped;
  fields >> state >> info.parent_pid;
  for (int i = 5; i <= 8; ++i) fields >> skipped;
  fields >> flags;
  for (int i = 10; i <= 21; ++i) fields >> skipped;
  fields >> info.start_ticks;
  info.kernel_thread = (flags & kKernelThreadFlag) != 0;
  info.zombie = state == "Z" || state == "X";
  if (Result<std::string> status = read_file(root + "/status"); status) {
    const std::size_t at = status->find("Tgid:");
    if (at != std::string::npos) info.thread_group_id = std::atoi(status->c_str() + at + 5);
  }
  std::array<char, 4096> exe{};
  const ssize_t length = ::readlink((root + "/exe").c_str(), exe.data(), exe.size());
  if (length > 0) info.exe.assign(exe.data(), static_cast<std::size_t>(length));
  if (Result<std::string> cmdline = read_file(root + "/cmdline"); cmdline) {
    std::istringstream words(*cmdline);
    for (std::string word; std::getline(words, word, '\0');) info.cmdline.push_back(word);
  }
  return info;
}

std::uint64_t read_rss_bytes(pid_t pid, const std::string& proc_root) {
  Result<std::string> statm = read_file(fmt::format("{}/{}/statm", proc_root, pid));
  if (!statm) return 0;
  std::istringstream fields(*statm);
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  fields >> total >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

Result<std::vector<pid_t>> read_threads(pid_t pid, const std::string& proc_root) {
  const std::string path = fmt::format("{}/{}/task", proc_root, pid);
  struct Close {
    void operator()(DIR* directory) const noexcept { ::closedir(directory); }
  };
  const std::unique_ptr<DIR, Close> directory(::opendir(path.c_str()));
  if (!directory) return Error(ErrorKind::kNotFound, fmt::format("there is no process {}", pid));
  std::vector<pid_t> threads;
  while (const dirent* entry = ::readdir(directory.get())) {
    if (const int id = std::atoi(entry->d_name); id > 0) threads.push_back(id);
  }
  return threads;
}

}  // namespace tracer::proc
