// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "report/report.h"
#include "symbols/symbolizer.h"

namespace tracer::report {

enum class Tone { kPlain, kTitle, kFaint, kLoud };

/// Text for a terminal or a file, built line by line. Whatever comes from a traced program is made printable by the
/// caller, except in frame(), which does it itself.
class TableText {
 public:
  explicit TableText(TableStyle style) : style_(style) {}

  void line(std::string_view text, Tone tone = Tone::kPlain);
  /// Parts of one line, three spaces apart; goes on in a further line where the terminal ends.
  void parts(const std::vector<std::string>& parts, Tone tone = Tone::kPlain);
  /// "      #1 function at file:line (module) (inlined)". Where the terminal is too narrow the file loses its folders
  /// first, then the function its end.
  void frame(std::size_t number, const symbols::SourceFrame& source, std::string_view module_path, Tone tone);

  std::string take() { return std::move(text_); }

 private:
  TableStyle style_;
  std::string text_;
};

/// "1 block", "80,123 blocks".
std::string counted(std::uint64_t count, const char* noun);

/// How far figures of blocks and bytes can be trusted.
struct Certainty {
  bool estimated = false;
  double variance = 0;  ///< square of the standard error of the bytes
};

/// "~" for an estimate, to stand in front of the figure.
const char* mark(const Certainty& certainty);
/// " ±12%": one standard error; nothing for a figure that has none.
std::string error_of(std::uint64_t bytes, const Certainty& certainty);

/// "17.4 MiB in 80,123 blocks", "~17.4 MiB ±3.1% in ~80,123 blocks".
std::string bytes_in_blocks(std::uint64_t bytes, std::uint64_t blocks, const Certainty& certainty = {});

/// Local time of day, "14:03:07".
std::string time_of_day(std::uint64_t unix_us);

}  // namespace tracer::report
