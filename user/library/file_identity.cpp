// SPDX-License-Identifier: Apache-2.0
#include "library/file_identity.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>

namespace tracer::library {

Result<FileIdentity> FileIdentity::of(int fd) {
  struct statx status {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &status) != 0)
    return Error::from_errno(errno, "cannot identify a mapped file");
  FileIdentity identity;
  identity.device = makedev(status.stx_dev_major, status.stx_dev_minor);
  identity.inode = status.stx_ino;
  // The kernel stores an int, whatever the name of the request says (Documentation in ioctl_iflags(2)).
  unsigned int generation[2] = {0, 0};
  if (::ioctl(fd, FS_IOC_GETVERSION, generation) == 0) {
    identity.generation = generation[0];
    identity.generation_kind = GenerationKind::kInode;
  } else if ((status.stx_mask & STATX_BTIME) != 0) {
    identity.generation =
        static_cast<std::uint64_t>(status.stx_btime.tv_sec) * 1'000'000'000U + status.stx_btime.tv_nsec;
    identity.generation_kind = GenerationKind::kBirthTime;
  }
  return identity;
}

std::string FileIdentity::text() const {
  return fmt::format("{}:{}/{}/{}", major(device), minor(device), inode, generation);
}

}  // namespace tracer::library
