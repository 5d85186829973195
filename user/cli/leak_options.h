// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/App.hpp>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "heap/suppressions.h"

namespace tracer::cli {

/// The options about leaks, as text.
struct RawLeaks {
  std::vector<std::string> suppressions;
  std::string exitcode;
};

struct Leaks {
  std::shared_ptr<const heap::Suppressions> suppressions;  ///< of all files; nullptr: none was given
  int exitcode = 0;                                        ///< 0: leaks do not change the exit status
};

void declare_leaks(CLI::App& app, RawLeaks& raw);

/// Reads the files. Fails with kUsage on an exit status that is none, with what the system says when a file cannot be
/// read, and as Suppressions::add() does.
Result<Leaks> read_leaks(const RawLeaks& raw);

}  // namespace tracer::cli
