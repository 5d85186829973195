// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "session/config.h"

namespace tracer::cli {

/// The options that mean something with --all only, as text.
struct RawMachine {
  std::vector<std::string> comms, users, cgroups, containers, excluded_pids;
  std::string pidns, by, max_overhead;
};

/// Fills the whole-machine part of `config`, whose `all` is set already. Fails with kUsage, also when one of these
/// options is there without --all.
Result<void> read_machine(const RawMachine& raw, session::Config& config);

}  // namespace tracer::cli
