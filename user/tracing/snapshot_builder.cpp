// SPDX-License-Identifier: Apache-2.0
#include "tracing/snapshot_builder.h"

#include <unordered_map>

#include "base/clock.h"
#include "proc/process.h"

namespace tracer::tracing {
namespace {

static_assert(static_cast<int>(heap::kLossCount) == TR_LOSS_COUNT);

struct Building {
  heap::ProcessSnapshot process;
  std::unordered_map<heap::StackId, std::size_t> site_of;  ///< canonical id → index in process.sites
  std::unordered_map<heap::StackId, std::int64_t> birth_ticks;
};

/// Word by word and frees first: a block freed while we read must not make more frees than allocations.
heap::SiteTotals read_totals(const tr_stack& stack) {
  heap::SiteTotals totals;
  totals.free_objects = __atomic_load_n(&stack.free_objects, __ATOMIC_ACQUIRE);
  totals.free_bytes = __atomic_load_n(&stack.free_bytes, __ATOMIC_ACQUIRE);
  totals.alloc_objects = __atomic_load_n(&stack.alloc_objects, __ATOMIC_ACQUIRE);
  totals.alloc_bytes = __atomic_load_n(&stack.alloc_bytes, __ATOMIC_ACQUIRE);
  return totals;
}

void read_young(const tr_young& young, std::uint32_t generation, heap::SiteTotals& totals) {
  for (std::uint32_t age = 0; age < TR_YOUNG_WINDOW && age <= generation; ++age) {
    const std::uint32_t slot = (generation - age) % TR_YOUNG_SLOTS;
    totals.young_objects += __atomic_load_n(&young.objects[slot], __ATOMIC_RELAXED);
    totals.young_bytes += __atomic_load_n(&young.bytes[slot], __ATOMIC_RELAXED);
  }
}

void read_unverified(const tr_unverified& unverified, heap::SiteTotals& totals) {
  totals.unverified_objects = __atomic_load_n(&unverified.objects, __ATOMIC_RELAXED);
  totals.unverified_bytes = __atomic_load_n(&unverified.bytes, __ATOMIC_RELAXED);
}

void add_site(Building& building, heap::StackId canonical, const heap::SiteTotals& totals, std::uint64_t birth_ticks) {
  const auto [it, is_new] = building.site_of.try_emplace(canonical, building.process.sites.size());
  if (is_new) {
    building.process.sites.emplace_back();
    building.process.sites.back().stack_id = canonical;
  }
  heap::SiteTotals& site = building.process.sites[it->second];
  site.alloc_objects += totals.alloc_objects;
  site.alloc_bytes += totals.alloc_bytes;
  site.free_objects += totals.free_objects;
  site.free_bytes += totals.free_bytes;
  site.young_objects += totals.young_objects;
  site.young_bytes += totals.young_bytes;
  site.unverified_objects += totals.unverified_objects;
  site.unverified_bytes += totals.unverified_bytes;
  building.birth_ticks[canonical] += static_cast<std::int64_t>(birth_ticks);
}

void finish_process(Building& building, std::uint64_t tick) {
  heap::ProcessSnapshot& process = building.process;
  for (heap::SiteTotals& site : process.sites) {
    process.alloc_objects_total += site.alloc_objects;
    process.alloc_bytes_total += site.alloc_bytes;
    process.free_objects_total += site.free_objects;
    process.free_bytes_total += site.free_bytes;
    process.unverified_objects += site.unverified_objects;
    process.unverified_bytes += site.unverified_bytes;
    if (site.live_objects() == 0) continue;
    const std::int64_t mean_birth =
        building.birth_ticks[site.stack_id] / static_cast<std::int64_t>(site.live_objects());
    const std::int64_t age_ms = static_cast<std::int64_t>(tick) - mean_birth;
    site.mean_age_ns = age_ms > 0 ? static_cast<std::uint64_t>(age_ms) * 1'000'000U : 0;
  }
  process.live_objects = process.alloc_objects_total - process.free_objects_total;
  process.live_bytes = process.alloc_bytes_total - process.free_bytes_total;
}

heap::ProcessSnapshot describe(const TracedProcess& process, const tr_space& space) {
  heap::ProcessSnapshot out;
  out.pid = process.pid;
  out.comm = process.info.comm;
  out.exe = process.info.exe;
  out.start_ns = process.info.start_ns;
  out.ns_pid = process.info.ns_pid;
  out.uid = process.info.uid;
  out.execs = process.execs;
  out.user = process.user;
  out.cgroup = process.cgroup;
  out.container = process.container;
  out.exited = !process.is_live();
  out.free_unknown_total = space.free_unknown;
  out.failed_objects_total = space.failed_objects;
  out.peak_bytes = space.peak_bytes;
  out.rss_bytes = out.exited ? 0 : proc::read_rss_bytes(process.pid);
  return out;
}

}  // namespace

TakenStock take_stock(kernel::BpfObject& object, const TracedProcess& process, const StackResolver& resolver,
                      bool counts_young) {
  TakenStock stock;
  Building building;
  building.process = describe(process, object.spaces()[process.space]);
  const tr_globals& globals = object.globals();
  const auto add = [&](heap::StackId id, heap::StackId meaning) {
    const tr_stack& stack = object.stacks()[id];
    heap::SiteTotals totals = read_totals(stack);
    if (totals.alloc_objects == 0) return;
    const heap::Stack* resolved = resolver.find(meaning);
    building.process.stack_ends[static_cast<std::size_t>(resolved->end)] += totals.alloc_objects;
    if (resolved->loss) stock.losses[static_cast<std::size_t>(*resolved->loss)] += totals.alloc_objects;
    // What an exited process still held will never be freed, however young it is.
    if (counts_young && !building.process.exited) read_young(object.young()[id], globals.generation, totals);
    read_unverified(object.unverified()[id], totals);
    add_site(building, meaning, totals, __atomic_load_n(&stack.birth_ticks, __ATOMIC_RELAXED));
  };
  for (const StoredStack& stack : process.stacks) add(stack.id, stack.meaning);
  for (const std::uint32_t id : process.unresolved) add(id, StackResolver::kNoStack);
  add(object.no_stack_of(process.space), StackResolver::kNoStack);
  finish_process(building, globals.tick);
  stock.process = std::move(building.process);
  return stock;
}

heap::Snapshot build_snapshot(kernel::BpfObject& object, const ProcessTracker& tracker, const StackResolver& resolver,
                              const std::vector<TakenStock>& ended, const SnapshotMoment& moment) {
  heap::Snapshot snapshot;
  snapshot.seq = moment.seq;
  snapshot.t_ns = moment.t_ns;
  snapshot.unix_us = unix_us();
  const tr_globals& globals = object.globals();
  for (std::size_t i = 0; i < heap::kLossCount; ++i) snapshot.losses[i] = globals.losses[i];
  const bool is_only_one = tracker.processes().size() + ended.size() == 1;
  const auto add = [&](TakenStock stock) {
    for (std::size_t i = 0; i < heap::kLossCount; ++i) snapshot.losses[i] += stock.losses[i];
    if (!stock.process.is_idle() || is_only_one) snapshot.processes.push_back(std::move(stock.process));
  };
  for (const TakenStock& stock : ended) add(stock);
  for (const auto& [space, process] : tracker.processes())
    add(take_stock(object, *process, resolver, moment.counts_young));
  return snapshot;
}

}  // namespace tracer::tracing
