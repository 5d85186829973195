// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tracer::proc {

/// A line of /proc/PID/mountinfo (proc(5)): which part of which file system is to be seen where.
struct Mount {
  std::uint32_t device_major = 0;
  std::uint32_t device_minor = 0;
  std::string root;   ///< path within the file system
  std::string point;  ///< where it is mounted, as the process sees it
  std::string type;   ///< of the file system: "ext4"; empty when the line ends before it
};

/// Fails with kCorrupt on anything that does not look like such a line.
Result<Mount> parse_mount_line(std::string_view line);

/// The mounts that a process sees. Fails with kGone when it has exited.
Result<std::vector<Mount>> read_mounts(pid_t pid, const std::string& proc_root = "/proc");

/// Where a path within a file system is to be seen: one path per mount that shows it.
std::vector<std::string> visible_paths(const std::vector<Mount>& mounts, std::uint32_t device_major,
                                       std::uint32_t device_minor, const std::string& path_in_file_system);

}  // namespace tracer::proc
