// SPDX-License-Identifier: Apache-2.0
#include "proc/process.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <memory>
#include <string_view>

#include "proc/proc_file.h"

namespace tracer::proc {
namespace {

constexpr std::uint64_t kNsPerSecond = 1'000'000'000;
constexpr std::uint64_t kKernelThreadFlag = 0x00200000;  // PF_KTHREAD, include/linux/sched.h

template <typename T>
bool parse_number(std::string_view text, T* out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size();
}

/// Cuts the first word off `text`; empty at its end.
std::string_view take_word(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\n"), text.size()));
  const std::string_view word = text.substr(0, text.find_first_of(" \t\n"));
  text.remove_prefix(word.size());
  return word;
}

/// Reads the fields of /proc/PID/stat by their numbers in proc(5). A name holds any character, so that only the last
/// parenthesis says where it ends.
bool parse_stat(std::string_view stat, ProcessInfo* out) {
  constexpr int kState = 3;
  constexpr int kParent = 4;
  constexpr int kFlags = 9;
  constexpr int kStartTime = 22;
  const std::size_t open = stat.find('(');
  const std::size_t close = stat.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return false;
  out->comm = stat.substr(open + 1, close - open - 1);
  std::string_view rest = stat.substr(close + 1);
  std::array<std::string_view, kStartTime + 1> fields;
  for (std::size_t i = kState; i < fields.size(); ++i) fields[i] = take_word(rest);
  std::uint64_t flags = 0;
  if (fields[kState].size() != 1 || !parse_number(fields[kParent], &out->parent_pid) ||
      !parse_number(fields[kFlags], &flags) || !parse_number(fields[kStartTime], &out->start_ticks))
    return false;
  out->start_ns = out->start_ticks * (kNsPerSecond / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK)));
  out->zombie = fields[kState] == "Z" || fields[kState] == "X";
  out->kernel_thread = (flags & kKernelThreadFlag) != 0;
  return true;
}

/// What follows "`key`:" in /proc/PID/status, up to the end of the line; empty when it is not there. Looked for at the
/// start of a line: the first one holds a name of the process's choice.
std::string_view status_field(std::string_view status, std::string_view key) {
  const std::string start = fmt::format("\n{}:", key);
  const std::size_t at = status.find(start);
  if (at == std::string_view::npos) return {};
  status.remove_prefix(at + start.size());
  return status.substr(0, status.find('\n'));
}

bool parse_status(std::string_view status, ProcessInfo* out) {
  std::string_view field = status_field(status, "Tgid");
  if (!parse_number(take_word(field), &out->thread_group_id)) return false;
  field = status_field(status, "Uid");
  uid_t uid = 0;
  if (parse_number(take_word(field), &uid)) out->uid = uid;
  // Ids from our namespace down to the process's own; one alone when they are the same namespace.
  field = status_field(status, "NSpid");
  take_word(field);
  for (std::string_view word = take_word(field); !word.empty(); word = take_word(field)) {
    if (!parse_number(word, &out->ns_pid)) return false;
  }
  return true;
}

std::vector<std::string> split_at_nuls(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    words.emplace_back(text.substr(0, text.find('\0')));
    text.remove_prefix(std::min(words.back().size() + 1, text.size()));
  }
  return words;
}

Result<std::string> read_exe(const std::string& root) {
  const std::string path = root + "/exe";
  std::array<char, PATH_MAX> target{};
  const ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
  if (length < 0)
    return Error::from_errno(errno, "cannot read " + path,
                             "run as root, or with CAP_SYS_PTRACE for processes of other users");
  return std::string(target.data(), static_cast<std::size_t>(length));
}

/// Also true for one of which nothing can be read.
bool has_ended(pid_t thread, const std::string& proc_root) {
  ProcessInfo info;
  const Result<std::string> stat = read_proc_file(fmt::format("{}/{}/stat", proc_root, thread));
  return !stat || !parse_stat(*stat, &info) || info.zombie;
}

/// The numbers among the names in a folder, ascending.
Result<std::vector<pid_t>> read_ids(const std::string& path) {
  struct Close {
    void operator()(DIR* directory) const noexcept { ::closedir(directory); }
  };
  const std::unique_ptr<DIR, Close> directory(::opendir(path.c_str()));
  if (!directory) return Error::from_errno(errno, "cannot read " + path);
  std::vector<pid_t> ids;
  while (const dirent* entry = ::readdir(directory.get())) {
    pid_t id = 0;
    if (parse_number(entry->d_name, &id)) ids.push_back(id);
  }
  std::ranges::sort(ids);
  return ids;
}

}  // namespace

Result<ProcessInfo> read_process(pid_t pid, const std::string& proc_root) {
  std::string root = fmt::format("{}/{}", proc_root, pid);
  ProcessInfo info;
  info.pid = pid;
  Result<std::string> stat = read_proc_file(root + "/stat");
  if (!stat) return no_process(pid, std::move(stat).error());
  if (!parse_stat(*stat, &info)) return Error(ErrorKind::kCorrupt, "unexpected contents of " + root + "/stat");
  Result<std::string> status = read_proc_file(root + "/status");
  if (!status) return no_process(pid, std::move(status).error());
  if (!parse_status(*status, &info)) return Error(ErrorKind::kCorrupt, "unexpected contents of " + root + "/status");
  if (info.zombie) {
    const pid_t thread = thread_with_memory(pid, proc_root);
    info.zombie = thread == pid;
    root = fmt::format("{}/{}", proc_root, thread);
  }
  if (info.kernel_thread || info.zombie) return info;

  Result<std::string> exe = read_exe(root);
  // A process that ends right now has no link any more, and is a process still.
  if (!exe && exe.error().kind() == ErrorKind::kPermission) return std::move(exe).error();
  if (exe) info.exe = std::move(*exe);
  if (Result<std::string> cmdline = read_proc_file(root + "/cmdline"); cmdline) info.cmdline = split_at_nuls(*cmdline);
  return info;
}

std::uint64_t read_cpu_ns(pid_t pid, const std::string& proc_root) {
  constexpr int kState = 3;
  constexpr int kUserTime = 14;
  const Result<std::string> stat = read_proc_file(fmt::format("{}/{}/stat", proc_root, pid));
  if (!stat) return 0;
  std::string_view rest = *stat;
  rest.remove_prefix(std::min(rest.rfind(')') + 1, rest.size()));
  for (int field = kState; field < kUserTime; ++field) take_word(rest);
  std::uint64_t user = 0, system = 0;
  if (!parse_number(take_word(rest), &user) || !parse_number(take_word(rest), &system)) return 0;
  return (user + system) * (kNsPerSecond / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK)));
}

pid_t thread_with_memory(pid_t pid, const std::string& proc_root) {
  if (!has_ended(pid, proc_root)) return pid;
  const Result<std::vector<pid_t>> threads = read_threads(pid, proc_root);
  if (!threads) return pid;
  const auto found = std::ranges::find_if(*threads, [&](pid_t thread) { return !has_ended(thread, proc_root); });
  return found == threads->end() ? pid : *found;
}

std::uint64_t read_rss_bytes(pid_t pid, const std::string& proc_root) {
  const Result<std::string> statm = read_proc_file(fmt::format("{}/{}/statm", proc_root, pid));
  if (!statm) return 0;
  std::string_view fields = *statm;
  take_word(fields);
  std::uint64_t resident_pages = 0;
  if (!parse_number(take_word(fields), &resident_pages)) return 0;
  if (resident_pages == 0) {
    const pid_t thread = thread_with_memory(pid, proc_root);
    return thread == pid ? 0 : read_rss_bytes(thread, proc_root);
  }
  return resident_pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

Result<std::uint64_t> read_pid_namespace(pid_t pid, const std::string& proc_root) {
  const std::string path = fmt::format("{}/{}/ns/pid", proc_root, pid);
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return no_process(pid, Error::from_errno(errno, "cannot look at " + path));
  return status.st_ino;
}

Result<std::vector<pid_t>> read_threads(pid_t pid, const std::string& proc_root) {
  const std::string path = fmt::format("{}/{}/task", proc_root, pid);
  Result<std::vector<pid_t>> threads = read_ids(path);
  return threads ? std::move(threads) : no_process(pid, std::move(threads).error());
}

Result<std::vector<pid_t>> read_processes(const std::string& proc_root) { return read_ids(proc_root); }

}  // namespace tracer::proc
