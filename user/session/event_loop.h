// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <csignal>
#include <cstdint>
#include <functional>
#include <map>

#include "base/result.h"
#include "base/unique_fd.h"

namespace tracer::session {

/// Waits for descriptors and calls what belongs to them; one thread, no callbacks after it is gone.
class EventLoop {
 public:
  static Result<EventLoop> create();

  /// `handle` is called whenever `fd` is readable, until remove(). The descriptor stays the caller's.
  Result<void> add(int fd, std::function<void()> handle);
  void remove(int fd);

  /// Calls `handle` every `period_ns`, first after one period. The loop owns the timer.
  Result<void> add_timer(std::uint64_t period_ns, std::function<void()> handle);

  /// Blocks the signals for the process and calls `handle` with each one that comes.
  Result<void> add_signals(const sigset_t& signals, std::function<void(int)> handle);

  /// Waits for something to happen and handles it.
  Result<void> run_once();

 private:
  UniqueFd epoll_;
  std::map<int, std::function<void()>> handlers_;
  std::map<int, UniqueFd> owned_;
};

}  // namespace tracer::session
