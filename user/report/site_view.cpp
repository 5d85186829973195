// SPDX-License-Identifier: Apache-2.0
#include "report/site_view.h"

#include <algorithm>
#include <tuple>

namespace tracer::report {
namespace {

// std::regex recurses for every character: a name of a megabyte would overflow the stack.
constexpr std::size_t kLongestMatched = 4096;

bool found_in(const std::regex& pattern, std::string_view text) {
  text = text.substr(0, kLongestMatched);
  try {
    return std::regex_search(text.begin(), text.end(), pattern);
  } catch (const std::regex_error&) {
    return false;  // too complex for this name
  }
}

/// Those that grow come first, see heap::Course, and among them those that gain most at least; a rate that is less than
/// two standard errors from nothing is nothing. The others are equal.
std::tuple<int, double> innocence_of(const heap::SiteTotals& site, Rank rank) {
  const heap::Trend& trend = site.trend;
  if (rank != Rank::kLeaked) return {};
  if (!heap::is_rising(trend.course)) return {static_cast<int>(heap::kCourseCount), 0.0};
  return {static_cast<int>(trend.course), -std::max(trend.growth_bytes_per_s - 2 * trend.growth_error, 0.0)};
}

std::uint64_t objects_of(const heap::SiteTotals& site, Rank rank) {
  if (rank == Rank::kMapped || rank == Rank::kTouched) return 0;
  return rank == Rank::kLeaked ? site.leak_objects() : site.live_objects();
}

}  // namespace

std::uint64_t ranked_bytes(const heap::SiteTotals& site, Rank rank) {
  switch (rank) {
    case Rank::kAll:
    case Rank::kLive:
      break;
    case Rank::kLeaked:
      return site.leak_bytes();
    case Rank::kMapped:
      return site.mapped_bytes;
    case Rank::kTouched:
      return site.touched_bytes;
  }
  return site.live_bytes();
}

Ranking SiteView::rank(const heap::ProcessSnapshot& process, Rank rank, unsigned most) {
  Ranking ranking;
  std::vector<const heap::SiteTotals*> sites;
  for (const heap::SiteTotals& site : process.sites) {
    if (!is_eligible(site, rank)) continue;
    sites.push_back(&site);
    ranking.eligible_bytes += ranked_bytes(site, rank);
    ranking.eligible_objects += objects_of(site, rank);
  }
  ranking.eligible = sites.size();
  // The id comes last so that equal stacks keep their order from one report to the next.
  const auto key = [rank](const heap::SiteTotals* site) {
    return std::tuple(innocence_of(*site, rank), ~ranked_bytes(*site, rank), ~objects_of(*site, rank),
                      ~site->alloc_bytes, site->stack_id);
  };
  std::ranges::sort(sites, {}, key);
  if (most == 0 || (context_.top != 0 && context_.top < most)) most = context_.top;
  for (const heap::SiteTotals* site : sites) {
    if (most != 0 && ranking.shown.size() == most) break;
    if (passes_filters(site->stack_id)) ranking.shown.push_back(site);
  }
  return ranking;
}

bool SiteView::is_eligible(const heap::SiteTotals& site, Rank rank) {
  switch (rank) {
    case Rank::kAll:
      break;
    case Rank::kLive:
      return site.live_objects() > 0;
    case Rank::kLeaked:
      return site.leak_objects() > 0 && !is_suppressed(site.stack_id);
    case Rank::kMapped:
    case Rank::kTouched:
      return ranked_bytes(site, rank) > 0;
  }
  return site.alloc_objects > 0;
}

bool SiteView::is_suppressed(heap::StackId id) {
  if (!context_.suppressions) return false;
  if (const auto known = suppressed_.find(id); known != suppressed_.end()) return known->second;
  const heap::Stack* stack = context_.stack(id);
  if (stack == nullptr) return false;
  const heap::Suppressions& known = *context_.suppressions;
  const bool fits = std::ranges::any_of(stack->frames, [&](const heap::Frame& frame) {
    if (known.matches(context_.symbolizer->module_path(frame.module))) return true;
    return std::ranges::any_of(context_.symbolizer->symbolize(frame), [&](const symbols::SourceFrame& source) {
      return known.matches(source.function) || known.matches(source.file);
    });
  });
  return suppressed_[id] = fits;
}

bool SiteView::passes_filters(heap::StackId id) {
  if (!context_.include && !context_.exclude) return true;
  if (const auto known = passed_.find(id); known != passed_.end()) return known->second;
  const heap::Stack* stack = context_.stack(id);
  if (stack == nullptr) return !context_.include;
  const bool passes = (!context_.include || matches(*stack, *context_.include)) &&
                      (!context_.exclude || !matches(*stack, *context_.exclude));
  passed_.emplace(id, passes);
  return passes;
}

bool SiteView::matches(const heap::Stack& stack, const std::regex& pattern) const {
  return std::ranges::any_of(stack.frames, [&](const heap::Frame& frame) {
    if (found_in(pattern, context_.symbolizer->module_path(frame.module))) return true;
    return std::ranges::any_of(context_.symbolizer->symbolize(frame),
                               [&](const symbols::SourceFrame& source) { return found_in(pattern, source.function); });
  });
}

}  // namespace tracer::report
