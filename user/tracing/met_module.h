// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "bpf/abi/types.h"

namespace tracer::tracing {

/// The path that the kernel half wrote down for a file, within its file system: "/lib/libfoo.so". Empty when it has
/// none or it was too long to be kept.
std::string path_in_file_system(const tr_module& module);

/// Its last part, for people; never empty.
std::string name_of(const tr_module& module);

/// A place where a file may lie: "/proc/PID/root" and the path as the process sees it, or "" and the path as the tracer
/// does.
struct PathToTry {
  std::string root;
  std::string seen;
};

/// Where the file may be opened if its mapping has gone already. The files found there have to be identified: others
/// may lie there by now.
std::vector<PathToTry> paths_to_try(const tr_module& module);

}  // namespace tracer::tracing
