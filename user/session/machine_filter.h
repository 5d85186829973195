// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.h"
#include "bpf/abi/types.h"
#include "proc/process_filter.h"

namespace tracer::session {

/// What the user asked for, as the kernel half asks about it: cgroups and containers by their ids, the pid namespace by
/// its inode. Fails when one of these does not exist, or there are more than the kernel half takes.
Result<tr_filter> kernel_filter(const proc::ProcessFilter& filter);

}  // namespace tracer::session
