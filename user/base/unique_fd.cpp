// SPDX-License-Identifier: Apache-2.0
#include "base/unique_fd.h"

#include <unistd.h>

namespace tracer {

void UniqueFd::reset(int fd) noexcept {
  // close() may only fail in ways that leave the descriptor closed all the same (close(2), "Dealing with error
  // returns").
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

}  // namespace tracer
