// SPDX-License-Identifier: Apache-2.0
#include "recording/diff.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <tuple>

#include "recording/diff_text.h"

namespace tracer::recording {
namespace {

using Sites = std::map<std::vector<Step>, Change>;

std::vector<Step> steps_of(const heap::Stack* stack, RecordedNames& names) {
  std::vector<Step> steps;
  if (stack == nullptr) return steps;
  for (const heap::Frame& frame : stack->frames) {
    for (const symbols::SourceFrame& source : names.symbolize(frame))
      steps.push_back({source.function, names.module_path(frame.module)});
  }
  return steps;
}

void add(Live& sum, const heap::SiteTotals& site) {
  sum.bytes += site.live_bytes();
  sum.objects += site.live_objects();
}

void add_all(Recording& recording, Live Change::*side, Live& sum, Sites& sites) {
  for (const heap::ProcessSnapshot& process : recording.last_snapshot().processes) {
    for (const heap::SiteTotals& site : process.sites) {
      std::vector<Step> steps = steps_of(recording.names().find(site.stack_id), recording.names());
      add(sites[std::move(steps)].*side, site);
      add(sum, site);
    }
  }
}

bool is_unchanged(const Change& change) { return change.growth_bytes() == 0 && change.growth_objects() == 0; }

}  // namespace

const char* Change::kind() const {
  if (before.objects == 0 && before.bytes == 0) return after.objects == 0 && after.bytes == 0 ? "unchanged" : "new";
  if (after.objects == 0 && after.bytes == 0) return "gone";
  const std::int64_t growth = growth_bytes() != 0 ? growth_bytes() : growth_objects();
  return growth > 0 ? "grown" : growth < 0 ? "shrunk" : "unchanged";
}

Diff compare(Recording& before, Recording& after) {
  Diff diff;
  Sites sites;
  add_all(before, &Change::before, diff.before, sites);
  add_all(after, &Change::after, diff.after, sites);
  for (auto& [steps, change] : sites) {
    if (is_unchanged(change)) {
      diff.unchanged += change.after.objects != 0;
      continue;
    }
    change.stack = steps;
    diff.changes.push_back(std::move(change));
  }
  // The map's order parts equals, so that they come in the same order each time.
  std::ranges::stable_sort(diff.changes, std::greater(), [](const Change& change) {
    return std::tuple(change.growth_bytes(), change.growth_objects());
  });
  return diff;
}

Result<std::vector<Error>> diff(const DiffOptions& options) {
  std::vector<Error> damages;
  Recording before;
  Recording after;
  for (const auto& [path, recording] : {std::pair(&options.before, &before), {&options.after, &after}}) {
    Damage damage;
    if (Result<void> read = read_recording(*path, *recording, damage); !read) return std::move(read).error();
    if (damage) damages.push_back(std::move(*damage));
  }
  if (Result<void> written = write_diff(compare(before, after), options, before, after); !written)
    return std::move(written).error();
  return damages;
}

}  // namespace tracer::recording
