// SPDX-License-Identifier: Apache-2.0
#include "library/write_guard.h"

#include <fcntl.h>

#include <string>

namespace tracer::library {

std::optional<WriteGuard> WriteGuard::take(const UniqueFd& file) {
  const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  UniqueFd own(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!own.valid() || ::fcntl(own.get(), F_SETLEASE, F_RDLCK) != 0) return std::nullopt;
  return WriteGuard(std::move(own));
}

bool WriteGuard::is_contested() const { return ::fcntl(file_.get(), F_GETLEASE) != F_RDLCK; }

}  // namespace tracer::library
