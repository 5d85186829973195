// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace tracer::proc {

/// What /proc says of one process, read once.
struct ProcessInfo {
  pid_t pid = 0;
  pid_t parent_pid = 0;
  pid_t thread_group_id = 0;  ///< differs from pid when `pid` names a thread that is not the leader
  std::string comm;
  std::string exe;  ///< target of /proc/PID/exe; empty for kernel threads
  std::vector<std::string> cmdline;
  std::uint64_t start_ticks = 0;  ///< field 22 of /proc/PID/stat: with the pid it identifies a process for ever
  std::uint64_t start_ns = 0;     ///< the same by CLOCK_BOOTTIME, rounded down to a tick of 10 ms
  pid_t ns_pid = 0;               ///< its id in its own pid namespace; 0 when that is ours
  std::optional<uid_t> uid;       ///< real user id, as our user namespace counts
  bool kernel_thread = false;
  bool zombie = false;  ///< all of it: a process whose first thread alone has ended is none
};

/// Fails with kNotFound when there is no such process, kPermission when /proc does not let us look, kCorrupt when it
/// says something unexpected. Of kernel threads and zombies it reads no exe and no cmdline: they have none.
Result<ProcessInfo> read_process(pid_t pid, const std::string& proc_root = "/proc");

/// Processor time that all its threads have used, in nanoseconds, in ticks of 10 ms; 0 when the process is gone.
std::uint64_t read_cpu_ns(pid_t pid, const std::string& proc_root = "/proc");

/// The thread to ask for, in place of the process, when it is about memory: `pid` itself, unless its first thread has
/// ended before others. Then /proc/PID shows neither mappings nor an executable any more, and /proc/TID does.
pid_t thread_with_memory(pid_t pid, const std::string& proc_root = "/proc");

/// Resident memory in bytes; 0 when the process is gone.
std::uint64_t read_rss_bytes(pid_t pid, const std::string& proc_root = "/proc");

/// Inode number of the pid namespace that the process is in. Fails with kNotFound when there is no such process.
Result<std::uint64_t> read_pid_namespace(pid_t pid, const std::string& proc_root = "/proc");

/// Ids of all processes, ascending.
Result<std::vector<pid_t>> read_processes(const std::string& proc_root = "/proc");

/// Ids of the process's threads, ascending. Fails with kNotFound when there is no such process.
Result<std::vector<pid_t>> read_threads(pid_t pid, const std::string& proc_root = "/proc");

}  // namespace tracer::proc
