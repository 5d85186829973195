// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace tracer::proc {

/// One range of a process's address space, a line of /proc/PID/maps (proc(5)).
struct Mapping {
  std::uint64_t start = 0;
  std::uint64_t end = 0;  ///< one past the last byte
  std::uint64_t file_offset = 0;
  std::uint32_t device_major = 0;  ///< as /proc shows it; on overlayfs not what stat() says
  std::uint32_t device_minor = 0;
  std::uint64_t inode = 0;  ///< 0: anonymous
  bool readable = false;
  bool writable = false;
  bool executable = false;
  bool deleted = false;  ///< the path ended in " (deleted)", which is cut from it
  std::string path;      ///< \012 undone, a newline; "[vdso]", "[heap]" … for special ranges; may be empty

  bool is_file() const { return inode != 0; }
};

/// Reads one line; fails with kCorrupt on anything that does not look like one.
Result<Mapping> parse_maps_line(std::string_view line);
/// Reads a whole file's text; lines in the order of addresses.
Result<std::vector<Mapping>> parse_maps(std::string_view text);

/// The mappings of a process as the kernel lists them now. Fails with kGone when the process has exited or has no
/// address space (a zombie, a kernel thread: an empty list is success with zero mappings).
/// `proc_root` is "/proc" but in tests.
Result<std::vector<Mapping>> read_maps(pid_t pid, const std::string& proc_root = "/proc");

/// Opens the file behind a mapping through the mapping itself (/proc/PID/map_files/START-END), so that a deleted or
/// replaced file is still the right one. Read-only, close-on-exec. Fails with kGone when the mapping is not there any
/// more.
Result<UniqueFd> open_mapped_file(pid_t pid, const Mapping& mapping, const std::string& proc_root = "/proc");

/// What stat() says of a mapped file: equal as long as nobody writes to it, renames it or puts another one in its
/// place.
struct FileStamp {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t links = 0;
  std::uint64_t changed_ns = 0;

  bool operator==(const FileStamp&) const = default;
};
/// Through the mapping itself, without opening the file. Fails with kGone when the mapping is not there any more.
Result<FileStamp> stamp_mapped_file(pid_t pid, const Mapping& mapping, const std::string& proc_root = "/proc");

}  // namespace tracer::proc
