// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace tracer::session {

/// A command that the tracer starts: a child that waits before its exec until it is released.
///
/// When the tracer dies, the kernel sends the child SIGCONT: a child that was held goes on.
class Command {
 public:
  /// Forks. The child has the tracer's standard streams, default signals and waits.
  static Result<Command> start(const std::vector<std::string>& arguments);
  Command(Command&&) noexcept = default;
  Command& operator=(Command&&) noexcept = default;
  /// A child that was never released is killed.
  ~Command();

  pid_t pid() const { return pid_; }

  /// Lets it exec. Returns when it has (close-on-exec tells) or has failed to: kNotFound or kPermission.
  Result<void> release();

  /// Reaps it if it has exited: true, and `status` as of waitpid(2).
  bool try_wait(int* status);

 private:
  Command(pid_t pid, UniqueFd go, UniqueFd failed) : pid_(pid), go_(std::move(go)), failed_(std::move(failed)) {}

  pid_t pid_ = -1;
  UniqueFd go_;      ///< a byte written here releases the child
  UniqueFd failed_;  ///< the child writes the errno of a failed exec here
};

/// The exit status to pass on: the command's own, or 128 + N when signal N killed it.
int exit_status_of(int wait_status);

}  // namespace tracer::session
