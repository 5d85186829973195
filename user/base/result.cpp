// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace tracer {
namespace {

ErrorKind kind_of(int errno_value) {
  switch (errno_value) {
    case ENOENT:
      return ErrorKind::kNotFound;
    case ESRCH:
      return ErrorKind::kGone;
    case EPERM:
    case EACCES:
      return ErrorKind::kPermission;
    case ENOSYS:
    case EOPNOTSUPP:
      return ErrorKind::kUnsupported;
    default:
      return ErrorKind::kIo;
  }
}

}  // namespace

Error Error::from_errno(int errno_value, const std::string& what, std::string hint) {
  Error error(kind_of(errno_value), what + ": " + std::strerror(errno_value), std::move(hint));
  error.errno_value_ = errno_value;
  return error;
}

namespace detail {

void check_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "tracer: internal error: '%s' does not hold at %s:%d\n", expression, file, line);
  std::abort();
}

}  // namespace detail
}  // namespace tracer
