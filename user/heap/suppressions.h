// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tracer::heap {

/// Leaks that are known and not to be reported: LeakSanitizer's suppression files.
///
///     # a comment
///     leak:libfoo.so
///     leak:^cache::*::insert$
///
/// A pattern is looked for anywhere in a text; '*' stands for anything, '^' in front and '$' at the end for its ends.
/// https://github.com/google/sanitizers/wiki/AddressSanitizerLeakSanitizer#suppressions
class Suppressions {
 public:
  /// Adds those of a file; `name` is for messages. Fails with kCorrupt on the first line that is neither empty, a
  /// comment nor "leak:" and a pattern.
  Result<void> add(std::string_view text, const std::string& name);

  /// Whether a pattern fits `text`, the name of a function, a module or a source file. An empty text fits none.
  bool matches(std::string_view text) const;

 private:
  struct Pattern {
    std::vector<std::string> parts;  ///< what stands between the '*', in this order
    bool at_begin = false;
    bool at_end = false;
  };

  static Pattern read(std::string_view pattern);
  static bool fits(const Pattern& pattern, std::string_view text);

  std::vector<Pattern> patterns_;
};

}  // namespace tracer::heap
