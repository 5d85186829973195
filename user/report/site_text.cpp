// SPDX-License-Identifier: Apache-2.0
#include "report/site_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/units.h"
#include "heap/estimate.h"
#include "report/plumbing.h"
#include "report/text.h"
#include "report/trend_text.h"

namespace tracer::report {
std::string heading_of(const Ranking& ranking, Rank rank) {
  const bool grows =
      rank == Rank::kLeaked && !ranking.shown.empty() && heap::is_rising(ranking.shown.front()->trend.course);
  return fmt::format("top {} of {}{}", ranking.shown.size(), counted(ranking.eligible, "stack"),
                     grows ? ", growing ones first" : " by bytes");
}

namespace {

/// Whether the innermost frame is that of the function that was called for memory.
bool starts_in_allocator(const heap::Stack* stack) {
  return stack != nullptr && !stack->frames.empty() && stack->frames[0].exact;
}

std::string share_of(std::uint64_t bytes, const Ranking& ranking) {
  const double all = static_cast<double>(std::max<std::uint64_t>(ranking.eligible_bytes, 1));
  return fmt::format("{:.1f}%", 100.0 * static_cast<double>(bytes) / all);
}

}  // namespace

void SiteText::add(TableText& text, const Sites& sites) {
  std::size_t number = 0;
  for (const heap::SiteTotals* site : sites.ranking.shown) add_site(text, ++number, *site, sites);
}

void SiteText::add_site(TableText& text, std::size_t number, const heap::SiteTotals& site, const Sites& sites) {
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
  std::vector<std::string> verdict = verdict_parts(site, sites.estimated);
  if (!verdict.empty()) {
    verdict.front() = fmt::format("      {}", verdict.front());
    text.parts(verdict, site.trend.course == heap::Course::kGrowing ? Tone::kLoud : Tone::kPlain);
  }
  add_frames(text, stack, {sites.most_frames, starts_in_allocator(stack) ? 1U : 0U});
}

/// Memory that no allocator has handed out. A page is touched by its innermost frame itself, which is shown then.
void SiteText::add_memory_site(TableText& text, std::size_t number, const heap::SiteTotals& site, const Sites& sites) {
  const std::uint64_t bytes = ranked_bytes(site, sites.rank);
  const heap::Stack* stack = context_.stack(site.stack_id);
  const bool is_call = sites.rank == Rank::kMapped && starts_in_allocator(stack);
  text.parts({fmt::format("{:>4}. {:>10}", number, format_bytes(bytes)),
              share_of(bytes, sites.ranking) + (is_call ? allocator_of(stack) : std::string())});
  add_frames(text, stack, {sites.most_frames, is_call ? 1U : 0U});
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

/// What is inlined has frames of its own.
std::vector<SiteText::Line> SiteText::lines_of(const Context& context, const heap::Stack& stack, std::size_t first) {
  std::vector<Line> lines;
  for (std::size_t i = first; i < stack.frames.size(); ++i) {
    for (const symbols::SourceFrame& source : context.symbolizer->symbolize(stack.frames[i]))
      lines.push_back({&stack.frames[i], &source, lines.size() + 1});
  }
  return lines;
}

/// Leaves out what stands at both ends of many stacks, unless nothing would be left.
void SiteText::fold(std::vector<Line>& lines) {
  if (!context_.folds) return;
  const auto own = [](auto is_plumbing) {
    return [=](const Line& line) { return !is_plumbing(line.source->function, line.source->file); };
  };
  const auto first = std::ranges::find_if(lines, own(is_allocator_plumbing));
  const auto last = std::find_if(lines.rbegin(), std::make_reverse_iterator(first), own(is_start_plumbing)).base();
  if (first == last) return;
  has_folded_ = has_folded_ || first != lines.begin() || last != lines.end();
  lines = std::vector<Line>(first, last);
}

void SiteText::add_frames(TableText& text, const heap::Stack* stack, Part part) {
  if (stack == nullptr) return add_end(text, heap::StackEnd::kNotRecorded);
  std::vector<Line> lines = lines_of(context_, *stack, part.first);
  fold(lines);
  bool is_uncertain = false;
  for (const Line& line : lines) {
    const auto shown = static_cast<std::size_t>(&line - lines.data());
    if (shown == part.most)
      return text.line(fmt::format("      ... {}", counted(lines.size() - shown, "more frame")), Tone::kFaint);
    if (line.frame->by_frame_pointer && !std::exchange(is_uncertain, true))
      text.line("      (from here on by frame pointers: no call frame information)", Tone::kFaint);
    text.frame(line.number, *line.source, context_.symbolizer->module_path(line.frame->module),
               is_allocator_plumbing(line.source->function, line.source->file) ? Tone::kFaint : Tone::kPlain);
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
