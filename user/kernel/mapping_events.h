// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace tracer::kernel {

/// A process has mapped a part of a file that can be executed.
struct MappingEvent {
  pid_t pid = 0;
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint64_t file_offset = 0;
  std::uint32_t device_major = 0;
  std::uint32_t device_minor = 0;
  std::uint64_t inode = 0;  ///< 0: no file
  std::uint64_t generation = 0;
  std::uint64_t time_ns = 0;  ///< CLOCK_MONOTONIC
  std::string path;           ///< as the process's mount namespace has it
};

/// Reads one record of a perf ring buffer, its header included; false when it is another one, or no such record.
bool parse_mapping_event(std::span<const std::byte> record, MappingEvent* event);

/// What executable files the processes of the machine map, told by the kernel when they do: perf_event_open(2),
/// PERF_RECORD_MMAP2. Costs nobody anything but the one who maps. Used by the session thread.
class MappingEvents {
 public:
  /// Fails with kPermission without CAP_PERFMON.
  static Result<MappingEvents> open();
  MappingEvents(MappingEvents&&) noexcept;
  MappingEvents& operator=(MappingEvents&&) noexcept;
  ~MappingEvents();

  /// Each becomes readable when events wait.
  std::vector<int> fds() const;

  /// Hands every waiting event to `handle`. Returns how many came faster than they were read, and are lost.
  std::uint64_t drain(const std::function<void(const MappingEvent&)>& handle);

 private:
  class Ring;
  MappingEvents();
  std::vector<std::unique_ptr<Ring>> rings_;  ///< one per processor
};

}  // namespace tracer::kernel
