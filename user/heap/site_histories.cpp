// SPDX-License-Identifier: Apache-2.0
#include "heap/site_histories.h"

#include <algorithm>

namespace tracer::heap {
namespace {

/// What is live for certain.
std::uint64_t sure_bytes(const SiteTotals& site) {
  return site.live_bytes() - std::min(site.live_bytes(), site.unverified_bytes);
}

template <typename Value>
void keep_every_second(std::vector<Value>& values) {
  for (std::size_t i = 0; i < values.size(); i += 2) values[i / 2] = values[i];
  values.resize((values.size() + 1) / 2);
}

/// Time lived by blocks of a number that changed evenly.
double lived(std::uint64_t objects_before, std::uint64_t objects_now, std::uint64_t duration_ns) {
  return (static_cast<double>(objects_before) + static_cast<double>(objects_now)) / 2 *
         static_cast<double>(duration_ns);
}

/// The mean age at which blocks were freed: what all have lived, less what the live ones have, over those freed.
std::uint64_t freed_after_ns(const SiteTotals& site, double object_ns) {
  if (site.free_objects == 0) return 0;
  const double of_live = static_cast<double>(site.live_objects()) * static_cast<double>(site.mean_age_ns);
  return static_cast<std::uint64_t>(std::max(object_ns - of_live, 0.0) / static_cast<double>(site.free_objects));
}

}  // namespace

bool SiteHistories::is_due(const HeapIdentity& identity, std::uint64_t t_ns) const {
  const auto process = processes_.find(identity);
  // A timer that comes a little early is in time.
  return process == processes_.end() || process->second.t_ns.empty() ||
         t_ns + process->second.spacing_ns / 10 >= process->second.last_ns + process->second.spacing_ns;
}

void SiteHistories::add(const ProcessSnapshot& snapshot, std::uint64_t t_ns) {
  if (!is_due(snapshot.identity(), t_ns)) return;
  Process& process = processes_[snapshot.identity()];
  if (process.t_ns.size() == kMostSamples) thin_out(process);
  for (const SiteTotals& totals : snapshot.sites) add_site(process, totals, t_ns);
  process.t_ns.push_back(t_ns);
  process.last_ns = t_ns;
  for (auto& [id, site] : process.sites) site.bytes.resize(process.t_ns.size());
}

void SiteHistories::add_site(Process& process, const SiteTotals& totals, std::uint64_t t_ns) {
  auto found = process.sites.find(totals.stack_id);
  if (found == process.sites.end()) {
    if (totals.live_objects() == 0 || sites_ == kMostSites) return;
    ++sites_;
    found = process.sites.try_emplace(totals.stack_id).first;
    found->second.bytes.reserve(kMostSamples);
  }
  Site& site = found->second;
  site.bytes.resize(process.t_ns.size());
  site.bytes.push_back(sure_bytes(totals));
  if (!process.t_ns.empty()) site.object_ns += lived(site.objects, totals.live_objects(), t_ns - process.last_ns);
  site.objects = totals.live_objects();
}

void SiteHistories::thin_out(Process& process) {
  keep_every_second(process.t_ns);
  for (auto& [id, site] : process.sites) keep_every_second(site.bytes);
  process.spacing_ns *= 2;
}

void SiteHistories::judge(ProcessSnapshot& snapshot, std::uint64_t t_ns) const {
  const auto found = processes_.find(snapshot.identity());
  if (found == processes_.end()) return;
  const Process& process = found->second;
  std::vector<std::uint64_t> times = process.t_ns;
  times.push_back(t_ns);
  for (SiteTotals& totals : snapshot.sites) {
    if (totals.live_objects() == 0) continue;
    const auto known = process.sites.find(totals.stack_id);
    const bool has_no_room = known == process.sites.end() && sites_ == kMostSites;
    if (has_no_room) continue;
    const Site site = known == process.sites.end() ? Site() : known->second;
    std::vector<std::uint64_t> bytes = site.bytes;
    bytes.resize(process.t_ns.size());
    bytes.push_back(sure_bytes(totals));
    const double object_ns = site.object_ns + lived(site.objects, totals.live_objects(), t_ns - process.last_ns);
    const double freed_share = static_cast<double>(totals.free_objects) /
                               static_cast<double>(std::max<std::uint64_t>(totals.alloc_objects, 1));
    totals.trend =
        with_frees(trend_of({times, bytes}), freed_share, freed_after_ns(totals, object_ns), totals.mean_age_ns);
  }
}

void SiteHistories::forget(const HeapIdentity& identity) {
  const auto process = processes_.find(identity);
  if (process == processes_.end()) return;
  sites_ -= process->second.sites.size();
  processes_.erase(process);
}

void SiteHistories::clear() {
  processes_.clear();
  sites_ = 0;
}

}  // namespace tracer::heap
