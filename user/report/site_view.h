// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "heap/snapshot.h"
#include "report/report.h"

namespace tracer::report {

/// What puts a stack into a report, and what puts it first.
enum class Rank {
  kAll,      ///< every stack of an allocation; most live bytes first, then most allocated bytes
  kLive,     ///< only those with live blocks, in the same order
  kLeaked,   ///< only those with blocks older than --older that are not suppressed; those that grow first, by
             ///< heap::Course and how fast they do; of the others most such bytes first
  kMapped,   ///< only those that have mapped memory without an allocator; most such bytes first
  kTouched,  ///< only those that have touched pages for the first time; most such bytes first
};

/// What a rank goes by.
std::uint64_t ranked_bytes(const heap::SiteTotals& site, Rank rank);

/// The stacks of one process in the order in which a report shows them.
struct Ranking {
  std::vector<const heap::SiteTotals*> shown;  ///< passed the filters, at most -T; they point into the snapshot
  std::size_t eligible = 0;                    ///< before filters and -T
  std::uint64_t eligible_bytes = 0;            ///< those that are ranked
  std::uint64_t eligible_objects = 0;
};

/// Selects and ranks the stacks of a process. Names are looked up for stacks only that are shown, or that a filter has
/// to look at on the way to them. One thread uses it; what a stack's filters say is remembered.
class SiteView {
 public:
  /// `context` outlives the view.
  explicit SiteView(const Context& context) : context_(context) {}

  /// Shows no more than `most` stacks, whatever -T says; 0: as many as -T says.
  Ranking rank(const heap::ProcessSnapshot& process, Rank rank, unsigned most = 0);

  /// Whether a suppression fits any function, module or source file of the stack.
  bool is_suppressed(heap::StackId id);

 private:
  bool is_eligible(const heap::SiteTotals& site, Rank rank);
  bool passes_filters(heap::StackId id);
  bool matches(const heap::Stack& stack, const std::regex& pattern) const;

  const Context& context_;
  std::unordered_map<heap::StackId, bool> passed_;
  std::unordered_map<heap::StackId, bool> suppressed_;
};

}  // namespace tracer::report
