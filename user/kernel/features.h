// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace tracer::kernel {

/// The ways to attach a probe.
enum class Backend {
  kMulti,  ///< one uprobe_multi link for all probes of a file (Linux 6.6 and later)
  kPerf,   ///< one perf event per probe (older kernels)
};

const char* backend_name(Backend backend);

/// One line of `tracer --check`.
struct CheckItem {
  std::string name;
  bool ok = false;
  bool needed = true;  ///< false: there is a replacement, so "no" costs something but does not stop us
  std::string detail;  ///< what was found
  std::string advice;  ///< what to do about a "no"
};

/// Whether this kernel, with these privileges, can attach uprobe_multi links: tried, not guessed from a version.
bool has_uprobe_multi();

/// Whether address spaces have a number that grows with their changes (mm_lock_seq: Linux 6.4, CONFIG_PER_VMA_LOCK).
bool counts_layout();

/// Everything the tracer needs of the machine, each tried for real. Takes some milliseconds; leaves nothing attached.
std::vector<CheckItem> check_machine();

/// The first needed item that fails, as the error to stop with before anything is attached.
Result<void> require_machine();

}  // namespace tracer::kernel
