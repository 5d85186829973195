// SPDX-License-Identifier: Apache-2.0
#include "tracing/snapshot_builder.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "base/clock.h"
#include "heap/estimate.h"
#include "proc/process.h"

namespace tracer::tracing {
namespace {

static_assert(static_cast<int>(heap::kLossCount) == TR_LOSS_COUNT);
static_assert(heap::kUnitsPerObject == TR_OBJECT_UNITS);

constexpr std::uint64_t kPageSize = 4096;

/// What is read of one stack, or of several that turned out to be the same.
struct Site {
  heap::SiteTotals totals;
  heap::ObjectUnits units;
  std::int64_t birth_ticks = 0;
};

struct Building {
  heap::ProcessSnapshot process;
  std::unordered_map<heap::StackId, Site> sites;  ///< by canonical id
  heap::StackEndCounts end_units{};
};

/// Word by word and frees first: a block freed while we read must not make more frees than allocations. The kernel half
/// adds blocks before their bytes, and here it is the other way round: no bytes without a block.
Site read_totals(const tr_stack& stack) {
  Site site;
  site.units.free = __atomic_load_n(&stack.free_units, __ATOMIC_ACQUIRE);
  site.totals.free_bytes = __atomic_load_n(&stack.free_bytes, __ATOMIC_ACQUIRE);
  site.totals.alloc_bytes = __atomic_load_n(&stack.alloc_bytes, __ATOMIC_ACQUIRE);
  site.units.alloc = __atomic_load_n(&stack.alloc_units, __ATOMIC_ACQUIRE);
  site.birth_ticks = static_cast<std::int64_t>(__atomic_load_n(&stack.birth_ticks, __ATOMIC_RELAXED));
  return site;
}

void read_young(const tr_young& young, std::uint32_t generation, Site& site) {
  for (std::uint32_t age = 0; age < TR_YOUNG_WINDOW && age <= generation; ++age) {
    const std::uint32_t slot = (generation - age) % TR_YOUNG_SLOTS;
    site.units.young += __atomic_load_n(&young.units[slot], __ATOMIC_RELAXED);
    site.totals.young_bytes += __atomic_load_n(&young.bytes[slot], __ATOMIC_RELAXED);
  }
}

void read_unverified(const tr_unverified& unverified, Site& site) {
  site.units.unverified = __atomic_load_n(&unverified.units, __ATOMIC_RELAXED);
  site.totals.unverified_bytes = __atomic_load_n(&unverified.bytes, __ATOMIC_RELAXED);
}

void read_variance(const std::uint64_t& variance, Site& site) {
  site.totals.live_variance = static_cast<double>(__atomic_load_n(&variance, __ATOMIC_RELAXED)) * TR_VARIANCE_UNIT;
}

void read_memory(const kernel::BpfObject& object, const MappedMemory::Totals& mapped, heap::StackId id, Site& site) {
  if (const auto found = mapped.program_bytes_by_stack.find(id); found != mapped.program_bytes_by_stack.end())
    site.totals.mapped_bytes = found->second;
  if (!object.faults().empty())
    site.totals.touched_bytes = __atomic_load_n(&object.faults()[id], __ATOMIC_RELAXED) * kPageSize;
}

/// Stacks of which nothing has been told yet, or whose memory is unmapped again.
bool is_empty(const Site& site) {
  return site.units.alloc == 0 && site.totals.mapped_bytes == 0 && site.totals.touched_bytes == 0;
}

/// Of a process that is not recorded any more: all that was live may have been freed since.
void leave_open(Site& site) {
  site.units.unverified = site.units.alloc - site.units.free;
  site.totals.unverified_bytes = site.totals.alloc_bytes - site.totals.free_bytes;
  site.units.young = 0;
  site.totals.young_bytes = 0;
}

void add_site(Building& building, heap::StackId canonical, const Site& part) {
  Site& site = building.sites[canonical];
  site.units.alloc += part.units.alloc;
  site.units.free += part.units.free;
  site.units.young += part.units.young;
  site.units.unverified += part.units.unverified;
  site.totals.alloc_bytes += part.totals.alloc_bytes;
  site.totals.free_bytes += part.totals.free_bytes;
  site.totals.young_bytes += part.totals.young_bytes;
  site.totals.unverified_bytes += part.totals.unverified_bytes;
  site.totals.live_variance += part.totals.live_variance;
  site.totals.mapped_bytes += part.totals.mapped_bytes;
  site.totals.touched_bytes += part.totals.touched_bytes;
  site.birth_ticks += part.birth_ticks;
}

std::uint64_t mean_age_ns(const Site& site, std::uint64_t tick) {
  const std::uint64_t live = site.units.alloc - site.units.free;
  if (live == 0) return 0;
  const double mean_birth = static_cast<double>(site.birth_ticks) * heap::kUnitsPerObject / static_cast<double>(live);
  const double age_ms = static_cast<double>(tick) - mean_birth;
  return age_ms > 0 ? static_cast<std::uint64_t>(age_ms * 1e6) : 0;
}

void finish_site(heap::StackId canonical, Site& site, std::uint64_t tick, heap::ProcessSnapshot& process) {
  heap::SiteTotals& totals = site.totals;
  totals.stack_id = canonical;
  heap::set_objects(totals, site.units);
  totals.mean_age_ns = mean_age_ns(site, tick);
  process.alloc_objects_total += totals.alloc_objects;
  process.alloc_bytes_total += totals.alloc_bytes;
  process.free_objects_total += totals.free_objects;
  process.free_bytes_total += totals.free_bytes;
  process.unverified_objects += totals.unverified_objects;
  process.unverified_bytes += totals.unverified_bytes;
  process.live_variance += totals.live_variance;
  if (process.touched_bytes) *process.touched_bytes += totals.touched_bytes;
  process.sites.push_back(totals);
}

void finish_process(Building& building, std::uint64_t tick) {
  heap::ProcessSnapshot& process = building.process;
  for (auto& [canonical, site] : building.sites) finish_site(canonical, site, tick, process);
  process.live_objects = process.alloc_objects_total - process.free_objects_total;
  process.live_bytes = process.alloc_bytes_total - process.free_bytes_total;
  for (std::size_t i = 0; i < heap::kStackEndCount; ++i)
    process.stack_ends[i] = heap::whole_objects(building.end_units[i]);
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
  out.estimated = space.sampled != 0;
  out.rss_bytes = out.exited ? 0 : proc::read_rss_bytes(process.pid);
  return out;
}

/// What stack ids of the store mean.
class Meanings {
 public:
  explicit Meanings(const TracedProcess& process) {
    for (const StoredStack& stack : process.stacks) meanings_[stack.id] = stack.meaning;
  }
  heap::StackId operator[](std::uint32_t id) const {
    const auto found = meanings_.find(id);
    return found == meanings_.end() ? StackResolver::kNoStack : found->second;
  }

 private:
  std::unordered_map<std::uint32_t, heap::StackId> meanings_;
};

std::vector<heap::Anomaly> read_anomalies(const kernel::BpfObject& object, const TracedProcess& process) {
  std::vector<heap::Anomaly> out;
  const std::vector<kernel::FoundAnomaly> found = object.anomalies(process.space);
  if (found.empty()) return out;
  const Meanings meanings(process);
  for (const auto& [key, value] : found) {
    heap::Anomaly anomaly;
    anomaly.type = static_cast<heap::Anomaly::Type>(key.type - TR_ANOMALY_MISMATCH);
    anomaly.stack_id = meanings[key.stack_id];
    anomaly.alloc_stack_id = meanings[key.alloc_stack];
    anomaly.first_free_stack_id = meanings[key.first_free];
    anomaly.alloc_kind = static_cast<heap::BlockKind>(key.alloc_kind);
    anomaly.free_kind = static_cast<heap::BlockKind>(key.free_kind);
    anomaly.count = value.count;
    anomaly.address = value.address;
    anomaly.size_bytes = value.size;
    anomaly.offset_bytes = value.offset;
    out.push_back(anomaly);
  }
  std::ranges::sort(out, {}, [](const heap::Anomaly& anomaly) {
    return std::tuple(anomaly.stack_id, anomaly.alloc_stack_id, anomaly.first_free_stack_id, anomaly.address);
  });
  return out;
}

}  // namespace

TakenStock take_stock(const Books& books, const TracedProcess& process, bool counts_young) {
  kernel::BpfObject& object = books.object;
  TakenStock stock;
  Building building;
  building.process = describe(process, object.spaces()[process.space]);
  const MappedMemory::Totals mapped =
      books.mapped == nullptr ? MappedMemory::Totals() : books.mapped->totals(process.space);
  const tr_globals& globals = object.globals();
  const auto add = [&](heap::StackId id, heap::StackId meaning) {
    Site site = read_totals(object.stacks()[id]);
    read_memory(object, mapped, id, site);
    if (is_empty(site)) return;
    const heap::Stack* resolved = books.resolver.find(meaning);
    building.end_units[static_cast<std::size_t>(resolved->end)] += site.units.alloc;
    if (resolved->loss)
      stock.losses[static_cast<std::size_t>(*resolved->loss)] += heap::whole_objects(site.units.alloc);
    // What an exited process still held will never be freed, however young it is.
    if (counts_young && !building.process.exited) read_young(object.young()[id], globals.generation, site);
    read_unverified(object.unverified()[id], site);
    read_variance(object.variances()[id], site);
    if (process.is_muted) leave_open(site);
    add_site(building, meaning, site);
  };
  for (const StoredStack& stack : process.stacks) add(stack.id, stack.meaning);
  for (const std::uint32_t id : process.unresolved) add(id, StackResolver::kNoStack);
  add(object.no_stack_of(process.space), StackResolver::kNoStack);
  if (books.mapped != nullptr) building.process.mapped = {mapped.program_bytes, mapped.allocator_bytes};
  if (!object.faults().empty()) building.process.touched_bytes = 0;
  building.process.anomalies = read_anomalies(object, process);
  finish_process(building, globals.tick);
  stock.process = std::move(building.process);
  return stock;
}

heap::Snapshot build_snapshot(const Books& books, const ProcessTracker& tracker, const std::vector<TakenStock>& ended,
                              const SnapshotMoment& moment) {
  heap::Snapshot snapshot;
  snapshot.seq = moment.seq;
  snapshot.t_ns = moment.t_ns;
  snapshot.unix_us = unix_us();
  const tr_globals& globals = books.object.globals();
  for (std::size_t i = 0; i < heap::kLossCount; ++i) snapshot.losses[i] = globals.losses[i];
  const bool is_only_one = tracker.processes().size() + ended.size() == 1;
  const auto add = [&](TakenStock stock) {
    for (std::size_t i = 0; i < heap::kLossCount; ++i) snapshot.losses[i] += stock.losses[i];
    if (!stock.process.is_idle() || is_only_one) snapshot.processes.push_back(std::move(stock.process));
  };
  for (const TakenStock& stock : ended) add(stock);
  for (const auto& [space, process] : tracker.processes()) add(take_stock(books, *process, moment.counts_young));
  return snapshot;
}

}  // namespace tracer::tracing
