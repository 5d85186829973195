// SPDX-License-Identifier: Apache-2.0
#include "proc/proc_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/unique_fd.h"

namespace tracer::proc {

Result<std::string> read_proc_file(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return Error::from_errno(errno, "cannot read " + path);
  std::string text;
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error::from_errno(errno, "cannot read " + path);
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

Error no_process(pid_t pid, Error error) {
  if (error.kind() != ErrorKind::kNotFound && error.kind() != ErrorKind::kGone) return error;
  return Error(ErrorKind::kNotFound, fmt::format("there is no process {}", pid));
}

}  // namespace tracer::proc
