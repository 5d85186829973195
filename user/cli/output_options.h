// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/App.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "report/outputs.h"

namespace tracer::cli {

/// The options that say where reports go, as text.
struct RawOutput {
  std::vector<std::string> outputs;
  std::string format, metric, color = "auto";
};

void declare_outputs(CLI::App& app, RawOutput& raw);

/// Fails with kUsage on an unknown word, and on a file whose format nobody says.
Result<report::OutputOptions> read_outputs(const RawOutput& raw);

}  // namespace tracer::cli
