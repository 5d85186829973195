// SPDX-License-Identifier: Apache-2.0
#include "symbols/perf_map_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/clock.h"

namespace tracer::symbols {
namespace {

constexpr std::uint64_t kBetweenLooksNs = 200'000'000;
// Start times are known to a tick, and file systems round.
constexpr std::uint64_t kClockSlackUs = 1'000'000;
constexpr std::size_t kStepBytes = 256 * 1024;

}  // namespace

PerfMapFile::PerfMapFile(const CodeOwner& owner)
    : owner_(owner), root_(::open(fmt::format("/proc/{}/root", owner.pid).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {}

std::string PerfMapFile::path() const {
  return fmt::format("/tmp/perf-{}.map", owner_.ns_pid != 0 ? owner_.ns_pid : owner_.pid);
}

std::string_view PerfMapFile::name_at(std::uint64_t address) {
  const std::string_view known = map_.name_at(address);
  const std::uint64_t now = monotonic_ns();
  if (!known.empty() || (looked_ns_ != 0 && now - looked_ns_ < kBetweenLooksNs)) return known;
  looked_ns_ = now;
  Result<void> done = update();
  lack_ = done ? "" : done.error().message();
  return map_.name_at(address);
}

Result<UniqueFd> PerfMapFile::open_map() const {
  if (!root_.valid()) return Error(ErrorKind::kGone, "the process has ended");
  open_how how{};
  // NONBLOCK: a FIFO under that name must not stop us.
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, root_.get(), path().c_str(), &how, sizeof how)));
  if (!fd.valid()) return Error::from_errno(errno, "open of " + path());
  return fd;
}

Result<void> PerfMapFile::check(const struct stat& status) const {
  const auto refuse = [this](const char* why) { return Error(ErrorKind::kPermission, path() + " " + why); };
  if (!S_ISREG(status.st_mode)) return refuse("is no regular file");
  if (status.st_uid != 0 && status.st_uid != owner_.uid) return refuse("belongs to another user");
  if (status.st_size < 0 || static_cast<std::uint64_t>(status.st_size) > kMostBytes) return refuse("is too large");
  const std::uint64_t written_us = static_cast<std::uint64_t>(status.st_mtim.tv_sec) * 1'000'000U +
                                   static_cast<std::uint64_t>(status.st_mtim.tv_nsec) / 1000U;
  if (written_us + kClockSlackUs < owner_.started_unix_us) return refuse("is of an earlier process");
  return {};
}

Result<void> PerfMapFile::update() {
  Result<UniqueFd> fd = open_map();
  if (!fd) return std::move(fd).error();
  struct stat status {};
  if (::fstat(fd->get(), &status) != 0) return Error::from_errno(errno, "stat of " + path());
  if (Result<void> checked = check(status); !checked) return checked;
  const bool is_same = status.st_dev == device_ && status.st_ino == inode_;
  if (!is_same || static_cast<std::uint64_t>(status.st_size) < read_bytes_) {
    map_ = {};
    read_bytes_ = 0;
    device_ = status.st_dev;
    inode_ = status.st_ino;
  }
  return read_on(fd->get(), status);
}

Result<void> PerfMapFile::read_on(int fd, const struct stat& status) {
  std::vector<char> buffer(kStepBytes);
  const auto size = static_cast<std::uint64_t>(status.st_size);
  while (read_bytes_ < size) {
    const ssize_t got = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(read_bytes_));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error::from_errno(errno, "read of " + path());
    if (got == 0) break;
    map_.add({buffer.data(), static_cast<std::size_t>(got)});
    read_bytes_ += static_cast<std::uint64_t>(got);
  }
  return {};
}

}  // namespace tracer::symbols
