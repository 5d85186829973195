// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tracer::proc {

/// A pid namespace, named by a process in it or by its inode number (as lsns(8) and /proc/PID/ns/pid show it). One of
/// the two is set.
struct PidNamespace {
  pid_t pid = 0;
  std::uint64_t inode = 0;
};

/// Which processes of the machine are meant: those that pass every kind of filter that is not empty, and any one of its
/// values. Only says what was asked for; nothing here has been looked up but the users.
struct ProcessFilter {
  std::vector<std::string> comms;  ///< globs, each as comm_glob() makes it
  std::vector<uid_t> users;
  std::vector<std::string> cgroups;     ///< paths as the user wrote them, see CgroupTree::find()
  std::vector<std::string> containers;  ///< ids, prefixes of ids, or names, see CgroupTree::find_container()
  std::vector<pid_t> excluded_pids;     ///< as this process's pid namespace counts
  std::optional<PidNamespace> pidns;

  bool empty() const;
};

/// The kernel keeps so many characters of a process's name (TASK_COMM_LEN - 1).
inline constexpr std::size_t kLongestComm = 15;
/// The longest that comm_glob() returns: a '*' around each character.
inline constexpr std::size_t kLongestCommGlob = 2 * kLongestComm + 1;

/// A glob for process names, cut to what can match: of a row of '*' one is left, and what follows the fifteenth other
/// character goes, as it goes from names. '*' stands for any characters, '?' for one, all others for themselves.
std::string comm_glob(std::string_view text);

}  // namespace tracer::proc
