// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "bpf/abi/types.h"

namespace tracer::library {

/// Which file it is, as the kernel sees the one behind a mapping.
///
///     /usr/lib/libfoo.so    device 8:1, inode 1234, generation 77
///     … upgraded by rename: device 8:1, inode 5678, generation 91   another file, the path says nothing
///     … inode 1234 reused:  device 8:1, inode 1234, generation 92   another file, the inode says nothing
///     … written again:      device 8:1, inode 1234, generation 77, changed later, another build id
///
/// Read from the inode by the kernel half (bpf/module.bpf.h), because user space cannot: a stat() of a file on
/// overlayfs shows the device of the overlay and not that of the file which is mapped, and tmpfs has generations
/// without a call that tells them. The generation is a number that the file system gives each new use of an inode; a
/// few have none, and then only the change time tells two uses apart.
struct FileIdentity {
  std::uint32_t device_major = 0;
  std::uint32_t device_minor = 0;
  std::uint64_t inode = 0;
  std::uint32_t generation = 0;  ///< 0: the file system has none
  std::uint64_t changed_ns = 0;  ///< last change of content or attributes, Unix time; nobody can set it back
  std::uint64_t size_bytes = 0;
  std::uint64_t modified_ns = 0;  ///< last change of content; can be set back

  auto operator<=>(const FileIdentity&) const = default;

  static FileIdentity of(const tr_file_key& key, std::uint64_t modified_ns);
  /// The same inode in the same use of it, whatever was written into it. Without generations: the same inode number.
  bool is_same_inode(const FileIdentity& other) const;
  /// The same inode, and to all appearances the same content: attributes may have changed, or its names.
  bool is_same_content(const FileIdentity& other) const;
  /// What tells two uses of the inode number apart: "generation" or "change_time".
  const char* told_by() const { return generation != 0 ? "generation" : "change_time"; }
  /// "8:1".
  std::string device() const;
};

}  // namespace tracer::library
