// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <future>
#include <memory>
#include <vector>

#include "base/result.h"
#include "kernel/bpf_object.h"

namespace tracer::kernel {

/// One probe: where in the file, and the cookie that tells the program what it is (TR_COOKIE, or TR_EXIT, in
/// bpf/abi/types.h).
struct ProbePoint {
  std::uint64_t file_offset = 0;
  std::uint64_t cookie = 0;

  bool operator==(const ProbePoint&) const = default;
};

/// Probes that are attached for as long as it lives. Detaching waits for the kernel (milliseconds for a uprobe_multi
/// link, a tenth of a second for a perf event); detach_all() does many at once.
class ProbeLink {
 public:
  virtual ~ProbeLink() = default;
};

/// Attaches probes to a file; the interface behind which the two ways of the kernel hide.
class ProbeAttacher {
 public:
  virtual ~ProbeAttacher() = default;
  /// Attaches `program` at every point of the file behind `file_fd`, in all its mappings, present and future, of the
  /// process `pid`, or of every process for pid -1. All points or none. The descriptor is not kept.
  virtual Result<std::unique_ptr<ProbeLink>> attach(Program program, int file_fd, const std::vector<ProbePoint>& points,
                                                    pid_t pid) = 0;
};

/// `object` must have been loaded for the same backend and outlive attacher and links.
std::unique_ptr<ProbeAttacher> make_probe_attacher(Backend backend, const BpfObject& object);

/// Detaches all links at the same time: the kernel's waiting periods overlap.
void detach_all(std::vector<std::unique_ptr<ProbeLink>> links);

/// Detaches links while the caller goes on; its destructor waits for the last of them.
class Detacher {
 public:
  void detach(std::vector<std::unique_ptr<ProbeLink>> links);

 private:
  std::vector<std::future<void>> running_;
};

}  // namespace tracer::kernel
