// SPDX-License-Identifier: Apache-2.0
#include "report/memory_table.h"

#include <fmt/format.h>

#include "base/units.h"
#include "report/text.h"

namespace tracer::report {

void MemoryTable::add_stacks(TableText& text, const heap::Snapshot& snapshot, std::size_t most_frames) const {
  for (const heap::ProcessSnapshot& process : snapshot.processes) {
    if (process.mapped) add_process(text, process, Rank::kMapped, most_frames);
    if (process.touched_bytes) add_process(text, process, Rank::kTouched, most_frames);
  }
}

void MemoryTable::add_process(TableText& text, const heap::ProcessSnapshot& process, Rank rank,
                              std::size_t most_frames) const {
  const Ranking ranking = view_.rank(process, rank);
  if (ranking.eligible == 0) return;
  text.line("");
  text.parts({fmt::format("pid {} {}", process.pid, printable(process.comm)),
              format_bytes(ranking.eligible_bytes) +
                  (rank == Rank::kMapped ? " mapped without an allocator" : " touched for the first time"),
              fmt::format("top {} of {} by bytes", ranking.shown.size(), counted(ranking.eligible, "stack"))},
             Tone::kTitle);
  sites_.add(text, {ranking, rank, false, most_frames});
}

void MemoryTable::add_totals(TableText& text, const heap::Snapshot& snapshot) const {
  heap::MappedTotals mapped;
  std::uint64_t live = 0, touched = 0, rss = 0;
  bool has_mapped = false, has_touched = false;
  for (const heap::ProcessSnapshot& process : snapshot.processes) {
    has_mapped = has_mapped || process.mapped;
    has_touched = has_touched || process.touched_bytes;
    mapped.program_bytes += process.mapped ? process.mapped->program_bytes : 0;
    mapped.allocator_bytes += process.mapped ? process.mapped->allocator_bytes : 0;
    touched += process.touched_bytes.value_or(0);
    live += process.live_bytes;
    rss += process.rss_bytes;
  }
  const auto row = [&](const char* label, const std::string& value) {
    text.line(fmt::format("  {:<14} {}", label, value));
  };
  if (has_mapped) {
    row("mapped", fmt::format("{} by the program itself, {} by allocators", format_bytes(mapped.program_bytes),
                              format_bytes(mapped.allocator_bytes)));
    if (mapped.allocator_bytes > live)
      row("held back", format_bytes(mapped.allocator_bytes - live) + " by allocators: mapped, and not in live blocks");
  }
  if (has_touched) row("touched", format_bytes(touched) + " in pages touched for the first time");
  if ((has_mapped || has_touched) && rss != 0) row("resident", format_bytes(rss) + " (RSS)");
}

}  // namespace tracer::report
