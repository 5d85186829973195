// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace tracer::proc {

/// The whole text of a file of /proc, whose size is not known before.
Result<std::string> read_proc_file(const std::string& path);

/// A file of /proc/PID that is not there, or not any more, stands for the process: then kNotFound, which says so. Other
/// errors stay.
Error no_process(pid_t pid, Error error);

}  // namespace tracer::proc
