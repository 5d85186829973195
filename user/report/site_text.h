// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "heap/snapshot.h"
#include "report/report.h"
#include "report/site_view.h"
#include "report/table_text.h"

namespace tracer::report {

/// A periodic snapshot is for watching: the frames next to the allocation. The last report has all of them.
inline constexpr std::size_t kPeriodicFrames = 6;
inline constexpr std::size_t kAllFrames = static_cast<std::size_t>(-1);

/// "top 3 of 12 stacks by bytes".
std::string heading_of(const Ranking& ranking, Rank rank);

/// Writes the stacks of a process into a table: what each holds, and its frames by name.
class SiteText {
 public:
  /// `context` outlives it.
  explicit SiteText(const Context& context) : context_(context) {}

  /// Frames per stack that were asked for, for the stacks that are cut there.
  void set_max_stack(unsigned max_stack) { max_stack_ = max_stack; }

  /// Which stacks a report shows of a process, and how.
  struct Sites {
    const Ranking& ranking;
    Rank rank;
    bool estimated;
    std::size_t most_frames;
  };
  void add(TableText& text, const Sites& sites);
  /// The frames of one stack; first the function that was called for memory.
  void add_stack(TableText& text, heap::StackId id) { add_frames(text, context_.stack(id), {kAllFrames, 0}); }

  /// Whether frames were left out that are the same in every program.
  bool has_folded() const { return has_folded_; }

 private:
  /// A frame of source code, and where it stands in its stack.
  struct Line {
    const heap::Frame* frame;
    const symbols::SourceFrame* source;
    std::size_t number;  ///< from 1 on
  };
  /// Which frames of a stack are shown.
  struct Part {
    std::size_t most;
    std::size_t first;
  };
  static std::vector<Line> lines_of(const Context& context, const heap::Stack& stack, std::size_t first);
  void fold(std::vector<Line>& lines);

  void add_site(TableText& text, std::size_t number, const heap::SiteTotals& site, const Sites& sites);
  void add_memory_site(TableText& text, std::size_t number, const heap::SiteTotals& site, const Sites& sites);
  void add_frames(TableText& text, const heap::Stack* stack, Part part);
  void add_end(TableText& text, heap::StackEnd end) const;
  std::string allocator_of(const heap::Stack* stack) const;

  const Context& context_;
  unsigned max_stack_ = 0;
  bool has_folded_ = false;
};

}  // namespace tracer::report
