// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace tracer::symbols {

/// Names of generated code, as runtimes write them for perf(1): "START SIZE name" per line, numbers in hexadecimal
/// with or without 0x (tools/perf/Documentation/jit-interface.txt of Linux).
///
///     3ef414c0 398 LazyCompile:*serve /app/server.js:12
///
/// What comes later holds: memory of code that was thrown away is used again. Broken lines are left out and counted.
class PerfMap {
 public:
  static constexpr std::size_t kMostNames = std::size_t{1} << 20;
  static constexpr std::size_t kLongestName = 1024;  ///< longer ones are cut

  /// Takes a further piece of the file; a line may go on in the next piece, and is none before its end.
  void add(std::string_view text);

  /// Empty when no code is known there. Lives until the next add().
  std::string_view name_at(std::uint64_t address) const;

  std::size_t size() const { return names_.size(); }
  std::size_t broken_lines() const { return broken_lines_; }

 private:
  struct Code {
    std::uint64_t end;
    std::string name;
  };
  void add_line(std::string_view line);
  void add_code(std::uint64_t begin, std::uint64_t end, std::string_view name);

  std::map<std::uint64_t, Code> names_;  ///< by begin; they do not overlap
  std::string pending_;                  ///< the beginning of a line
  bool skips_ = false;                   ///< the rest of a line that was too long
  std::size_t broken_lines_ = 0;
};

}  // namespace tracer::symbols
