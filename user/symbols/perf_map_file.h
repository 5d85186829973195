// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "symbols/perf_map.h"

namespace tracer::symbols {

/// A process whose generated code may have names.
struct CodeOwner {
  pid_t pid = 0;
  pid_t ns_pid = 0;  ///< in its own pid namespace; 0: the same
  std::optional<uid_t> uid;
  std::uint64_t started_unix_us = 0;  ///< 0: not known
};

/// /tmp/perf-PID.map of a process, in its own file system and by the pid that it knows of itself.
///
/// Everybody may write to /tmp: the file is believed only if it is a regular one and no link, belongs to the user of
/// the process or to root, and was written to after the process began. It is read on as it grows, and anew when it is
/// replaced or shrinks. Used by one thread; may be asked after the process has ended, for what was read before.
class PerfMapFile {
 public:
  static constexpr std::uint64_t kMostBytes = std::uint64_t{256} << 20;

  /// While the process lives: holds on to its root directory.
  explicit PerfMapFile(const CodeOwner& owner);

  /// Empty when the map says nothing. Looks into the file at most every 200 ms. Lives until the next call.
  std::string_view name_at(std::uint64_t address);

  /// Why there are no names: "there is no /tmp/perf-42.map", …; empty when the file was read.
  const std::string& lack() const { return lack_; }
  std::string path() const;

 private:
  Result<UniqueFd> open_map() const;
  Result<void> check(const struct stat& status) const;
  Result<void> update();
  Result<void> read_on(int fd, const struct stat& status);

  CodeOwner owner_;
  UniqueFd root_;
  PerfMap map_;
  std::string lack_;
  std::uint64_t looked_ns_ = 0;
  // Which file was read, and how far.
  std::uint64_t device_ = 0;
  std::uint64_t inode_ = 0;
  std::uint64_t read_bytes_ = 0;
};

}  // namespace tracer::symbols
