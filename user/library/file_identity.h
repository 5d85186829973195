// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "base/result.h"

namespace tracer::library {

/// Which file it is, for as long as the machine runs.
///
///     /usr/lib/libfoo.so    device 8:1, inode 1234, generation 77
///     … upgraded by rename: device 8:1, inode 5678, generation 91   another file, the path says nothing
///     … inode 1234 reused:  device 8:1, inode 1234, generation 92   another file, the inode says nothing
///
/// The generation is a number the file system gives each new use of an inode (FS_IOC_GETVERSION, ioctl_iflags(2)).
/// tmpfs and overlayfs give none; then the inode's birth time stands in, and `generation_kind` says so.
struct FileIdentity {
  enum class GenerationKind : std::uint8_t { kNone, kInode, kBirthTime };

  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t generation = 0;
  GenerationKind generation_kind = GenerationKind::kNone;

  auto operator<=>(const FileIdentity&) const = default;

  /// Identity of an open file; the device is the one stat() shows, which on overlayfs is not that of /proc/PID/maps.
  static Result<FileIdentity> of(int fd);
  /// "8:1/1234/77", for people.
  std::string text() const;
};

}  // namespace tracer::library
