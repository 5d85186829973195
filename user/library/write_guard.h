// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "base/unique_fd.h"

namespace tracer::library {

/// Makes whoever opens a file for writing wait until the guard is gone: a read lease (fcntl(2)).
///
/// A probe is a breakpoint at an offset, put there because of what the file contained. If the file were overwritten in
/// place and mapped again while the probe is registered, the kernel would put the breakpoint into the middle of other
/// instructions. So probes are attached under a guard where the file system has leases; a writer makes the kernel send
/// us SIGIO, we detach, and the writer goes on.
class WriteGuard {
 public:
  /// Nothing when somebody has the file open for writing already, or the file system has no leases.
  static std::optional<WriteGuard> take(const UniqueFd& file);

  /// Somebody waits.
  bool is_contested() const;

 private:
  explicit WriteGuard(UniqueFd file) : file_(std::move(file)) {}

  UniqueFd file_;  ///< an open file description of its own: the lease ends with it
};

}  // namespace tracer::library
