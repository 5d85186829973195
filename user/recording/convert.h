// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "heap/suppressions.h"
#include "recording/recording.h"
#include "report/outputs.h"

namespace tracer::recording {

/// Why reading stopped before the end of the run; nothing for a whole recording.
using Damage = std::optional<Error>;

/// Reads a recording to its end, or to the first line that is malformed. What came before that is kept, and `damage`
/// says what is wrong, and in which line. Fails when there is nothing to keep: no file, no header, or a listener that
/// fails.
Result<void> read_recording(const std::string& path, Recording& recording, Damage& damage);

/// What `tracer report` is to do.
struct ConvertOptions {
  std::string path;  ///< "-": standard input
  report::OutputOptions output;
  std::optional<unsigned> top;  ///< nothing: as recorded
  std::string include;
  std::string exclude;
  std::shared_ptr<const heap::Suppressions> suppressions;
};

struct Converted {
  Damage damage;
  std::uint64_t leaks = 0;  ///< stacks with leaks that are not suppressed
};

/// Writes the reports of a recorded run, the same bytes as the run itself would have written. Needs no privileges.
Result<Converted> convert(const ConvertOptions& options);

}  // namespace tracer::recording
