// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "recording/convert.h"
#include "recording/recording.h"
#include "report/format.h"
#include "report/outputs.h"

namespace tracer::recording {

/// What is live under a stack.
struct Live {
  std::uint64_t bytes = 0;
  std::uint64_t objects = 0;
};

/// A function of a stack, as far as it is the same in two runs: addresses, lines and numbers are not.
struct Step {
  std::string function;
  std::string module;  ///< path; empty for code of no file

  auto operator<=>(const Step&) const = default;
};

/// A stack in two runs, added up over all processes.
struct Change {
  std::vector<Step> stack;  ///< innermost first
  Live before;
  Live after;

  std::int64_t growth_bytes() const { return static_cast<std::int64_t>(after.bytes - before.bytes); }
  std::int64_t growth_objects() const { return static_cast<std::int64_t>(after.objects - before.objects); }
  /// "new", "grown", "shrunk", "gone" or "unchanged"; by bytes, then by blocks.
  const char* kind() const;
};

/// Two recordings side by side.
struct Diff {
  Live before;
  Live after;
  std::vector<Change> changes;  ///< what grew most first, what shrank most last; no unchanged ones
  std::uint64_t unchanged = 0;  ///< stacks with live blocks in both that hold as much as before
};

Diff compare(Recording& before, Recording& after);

/// What `tracer diff` is to do.
struct DiffOptions {
  std::string before;
  std::string after;
  report::OutputOptions output;  ///< one of them; table or NDJSON
  unsigned top = 10;             ///< changes to show; 0: all
};

/// Compares two recordings and writes the result. Of damaged ones what is whole; says so in `damage`, the first first.
Result<std::vector<Error>> diff(const DiffOptions& options);

}  // namespace tracer::recording
