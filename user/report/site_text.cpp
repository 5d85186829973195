// SPDX-License-Identifier: Apache-2.0
#include "report/site_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/units.h"
#include "heap/estimate.h"
#include "report/text.h"

namespace tracer::report {
namespace {

/// Frames that every C++ program has between its own code and the allocator.
bool is_plumbing(const symbols::SourceFrame& source) { return source.function.starts_with("operator new"); }

/// Whether the innermost frame is that of the function that was called for memory.
bool starts_in_allocator(const heap::Stack* stack) {
  return stack != nullptr && !stack->frames.empty() && stack->frames[0].exact;
}

std::string share_of(std::uint64_t bytes, const Ranking& ranking) {
  const double all = static_cast<double>(std::max<std::uint64_t>(ranking.eligible_bytes, 1));
  return fmt::format("{:.1f}%", 100.0 * static_cast<double>(bytes) / all);
}

}  // namespace

void SiteText::add(TableText& text, const Sites& sites) const {
  std::size_t number = 0;
  for (const heap::SiteTotals* site : sites.ranking.shown) add_site(text, ++number, *site, sites);
}

void SiteText::add_site(TableText& text, std::size_t number, const heap::SiteTotals& site, const Sites& sites) const {
  if (sites.rank == Rank::kMapped || sites.rank == Rank::kTouched) return add_memory_site(text, number, site, sites);
  const bool leaked = sites.rank == Rank::kLeaked;
  const std::uint64_t bytes = ranked_bytes(site, sites.rank);
  const std::uint64_t objects = leaked ? site.leak_objects() : site.live_objects();
  const Certainty certainty{sites.estimated, leaked ? heap::leak_variance(site) : site.live_variance};
  const char* about = mark(certainty);
  const heap::Stack* stack = context_.stack(site.stack_id);
  text.parts({fmt::format("{:>4}. {:>10}{} in {}{}", number, about + format_bytes(bytes), error_of(bytes, certainty),
                          about, counted(objects, "block")),
              share_of(bytes, sites.ranking),
              fmt::format("average {}{}", about, format_bytes(bytes / std::max<std::uint64_t>(objects, 1))),
              fmt::format("mean age {}{}", about, format_duration(site.mean_age_ns)),
              about + counted(site.alloc_objects, "allocation") + allocator_of(stack)});
  add_frames(text, stack, sites.most_frames, starts_in_allocator(stack) ? 1 : 0);
}

/// Memory that no allocator has handed out. A page is touched by its innermost frame itself, which is shown then.
void SiteText::add_memory_site(TableText& text, std::size_t number, const heap::SiteTotals& site,
                               const Sites& sites) const {
  const std::uint64_t bytes = ranked_bytes(site, sites.rank);
  const heap::Stack* stack = context_.stack(site.stack_id);
  const bool is_call = sites.rank == Rank::kMapped && starts_in_allocator(stack);
  text.parts({fmt::format("{:>4}. {:>10}", number, format_bytes(bytes)),
              share_of(bytes, sites.ranking) + (is_call ? allocator_of(stack) : std::string())});
  add_frames(text, stack, sites.most_frames, is_call ? 1 : 0);
}

/// The innermost frame belongs to the allocator and is named beside the counts, so that frames begin with its caller.
std::string SiteText::allocator_of(const heap::Stack* stack) const {
  if (!starts_in_allocator(stack)) return {};
  const symbols::SourceFrame& source = context_.symbolizer->symbolize(stack->frames[0]).back();
  const std::string_view path = context_.symbolizer->module_path(stack->frames[0].module);
  std::string name = " by " + printable(source.function);
  if (source.named && !path.empty()) name += " (" + printable(base_name(path)) + ")";
  return name;
}

void SiteText::add_frames(TableText& text, const heap::Stack* stack, std::size_t most_frames, std::size_t first) const {
  if (stack == nullptr) return add_end(text, heap::StackEnd::kNotRecorded);
  bool is_own_code = false;
  bool is_uncertain = false;
  std::size_t number = 0;
  for (std::size_t i = first; i < stack->frames.size(); ++i) {
    const heap::Frame& frame = stack->frames[i];
    if (number >= most_frames) {
      text.line(fmt::format("      ... {}", counted(stack->frames.size() - i, "more frame")), Tone::kFaint);
      return;
    }
    if (frame.by_frame_pointer && !std::exchange(is_uncertain, true))
      text.line("      (from here on by frame pointers: no call frame information)", Tone::kFaint);
    for (const symbols::SourceFrame& source : context_.symbolizer->symbolize(frame)) {
      is_own_code = is_own_code || !is_plumbing(source);
      text.frame(++number, source, context_.symbolizer->module_path(frame.module),
                 is_own_code ? Tone::kPlain : Tone::kFaint);
    }
  }
  add_end(text, stack->end);
}

void SiteText::add_end(TableText& text, heap::StackEnd end) const {
  if (end == heap::StackEnd::kComplete) return;
  if (end == heap::StackEnd::kNotRecorded) return text.line("      (stack not recorded)", Tone::kFaint);
  if (end == heap::StackEnd::kTruncated)
    return text.line(fmt::format("      (stack cut at {} frames: --max-stack)", max_stack_), Tone::kFaint);
  text.line(fmt::format("      (stack ends here: {})", heap::stack_end_reason(end)), Tone::kFaint);
}

}  // namespace tracer::report
