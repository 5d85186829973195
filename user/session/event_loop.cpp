// SPDX-License-Identifier: Apache-2.0
#include "session/event_loop.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace tracer::session {

Result<EventLoop> EventLoop::create() {
  EventLoop loop;
  loop.epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!loop.epoll_.valid()) return Error::from_errno(errno, "cannot create an epoll descriptor");
  return loop;
}

Result<void> EventLoop::add(int fd, std::function<void()> handle) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
    return Error::from_errno(errno, "cannot wait for a descriptor");
  handlers_[fd] = std::move(handle);
  return {};
}

void EventLoop::remove(int fd) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  handlers_.erase(fd);
}

Result<void> EventLoop::add_timer(std::uint64_t period_ns, std::function<void()> handle) {
  UniqueFd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  const timespec period{static_cast<time_t>(period_ns / 1'000'000'000U), static_cast<long>(period_ns % 1'000'000'000U)};
  const itimerspec setting{period, period};
  if (!timer.valid() || ::timerfd_settime(timer.get(), 0, &setting, nullptr) != 0)
    return Error::from_errno(errno, "cannot set a timer");
  const int fd = timer.get();
  owned_[fd] = std::move(timer);
  return add(fd, [fd, handle = std::move(handle)] {
    std::uint64_t expirations = 0;
    if (::read(fd, &expirations, sizeof(expirations)) == sizeof(expirations)) handle();
  });
}

Result<void> EventLoop::add_signals(const sigset_t& signals, std::function<void(int)> handle) {
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  UniqueFd source(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!source.valid()) return Error::from_errno(errno, "cannot receive signals");
  const int fd = source.get();
  owned_[fd] = std::move(source);
  return add(fd, [fd, handle = std::move(handle)] {
    signalfd_siginfo info{};
    while (::read(fd, &info, sizeof(info)) == sizeof(info)) handle(static_cast<int>(info.ssi_signo));
  });
}

Result<void> EventLoop::run_once() {
  std::array<epoll_event, 16> events{};
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
  if (count < 0) {
    if (errno == EINTR) return {};
    return Error::from_errno(errno, "cannot wait for events");
  }
  for (int i = 0; i < count; ++i) {
    // An earlier handler of this round may have removed it. A copy, since a handler may remove itself.
    const auto found = handlers_.find(events[static_cast<std::size_t>(i)].data.fd);
    if (found == handlers_.end()) continue;
    const std::function<void()> handle = found->second;
    handle();
  }
  return {};
}

}  // namespace tracer::session
