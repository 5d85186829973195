// SPDX-License-Identifier: Apache-2.0
// The overhead guard of runs of the whole machine: what calls cost is measured on the tracer itself, then each process
// is looked at once a second.
#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "session/session_impl.h"
#include "session/session_write.h"

namespace tracer::session {
namespace {

constexpr double kDefaultLimitPercent = 20;
// Enough for a median; some ten milliseconds in all.
constexpr int kBatches = 9;
constexpr int kPairs = 200;
// Fewer calls in a second cost nobody a hundredth of a processor.
constexpr std::uint64_t kFewCalls = 1000;
constexpr std::uint64_t kGuardPeriodNs = 1'000'000'000;

/// The allocator that most processes use. This one has its own for everything else.
struct LibcAllocator {
  void* (*malloc)(std::size_t) = nullptr;
  void (*free)(void*) = nullptr;
};

Result<LibcAllocator> find_libc_allocator() {
  void* libc = ::dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
  if (libc == nullptr) return Error(ErrorKind::kNotFound, "the tracer runs without libc.so.6");
  LibcAllocator allocator{reinterpret_cast<void* (*)(std::size_t)>(::dlsym(libc, "malloc")),
                          reinterpret_cast<void (*)(void*)>(::dlsym(libc, "free"))};
  ::dlclose(libc);
  if (allocator.malloc == nullptr || allocator.free == nullptr)
    return Error(ErrorKind::kNotFound, "libc.so.6 has no malloc and free");
  return allocator;
}

/// Nanoseconds per call of malloc or free, by this thread.
double time_calls(const LibcAllocator& allocator) {
  std::array<double, kBatches> batches{};
  for (double& batch : batches) {
    const std::uint64_t begin_ns = monotonic_ns();
    for (int i = 0; i < kPairs; ++i) {
      void* block = allocator.malloc(64);
      asm volatile("" : "+r"(block) : : "memory");
      allocator.free(block);
    }
    batch = static_cast<double>(monotonic_ns() - begin_ns) / (2 * kPairs);
  }
  std::ranges::nth_element(batches, batches.begin() + kBatches / 2);
  return batches[kBatches / 2];
}

}  // namespace

/// Attaches probes to the library that lies at `address` in this process, if it has none yet.
Result<library::Library*> Session::arm_own_library(std::uint64_t address) {
  Result<std::vector<proc::Mapping>> mappings = proc::read_maps(::getpid());
  if (!mappings) return std::move(mappings).error();
  for (const proc::Mapping& mapping : *mappings) {
    if (address >= mapping.start && address < mapping.end && mapping.is_file())
      return tracker_->arm_mapping(::getpid(), mapping, monotonic_ns());
  }
  return Error(ErrorKind::kNotFound, "the allocator lies in no file");
}

/// Traces this process for some milliseconds, unseen by any report.
Result<CallCost> Session::measure_call_cost() {
  const Result<LibcAllocator> allocator = find_libc_allocator();
  if (!allocator) return allocator.error();
  Result<library::Library*> own = arm_own_library(reinterpret_cast<std::uint64_t>(allocator->free));
  if (!own) return std::move(own).error();
  const Result<std::uint32_t> space = object_->add_process(::getpid(), 0);
  if (!space) return space.error();
  CallCost cost;
  cost.exact_ns = time_calls(*allocator);
  (void)object_->set_sample_level(*space, 1);
  cost.sampled_ns = time_calls(*allocator);
  if (Result<void> excluded = object_->exclude_process(::getpid()); !excluded) return std::move(excluded).error();
  object_->end_space(*space);
  (void)object_->release_space(*space);
  ++dead_blocks_;
  if (!adopts()) kernel::detach_all(armer_->release(**own, ::getpid()));
  return cost;
}

void Session::start_guard() {
  const double limit = config_.max_overhead_percent.value_or(kDefaultLimitPercent);
  if (!config_.all || limit == 0 || guard_) return;
  const Result<CallCost> cost = measure_call_cost();
  if (!cost) return log::info("no overhead guard: {}", cost.error().message());
  log::verbose("an allocator call costs {:.0f} ns, {:.0f} ns when sampled; no process is to lose more than {:g} %",
               cost->exact_ns, cost->sampled_ns, limit);
  guard_.emplace(limit, *cost);
}

void Session::guard_overhead(std::uint64_t now) {
  if (!guard_ || now - last_guard_ns_ < kGuardPeriodNs) return;
  last_guard_ns_ = now;
  for (const auto& [space, process] : tracker_->processes()) {
    if (!process->is_live() || process->is_muted) continue;
    const std::uint64_t calls = object_->spaces()[space].events;
    if (calls - std::exchange(process->calls_seen, calls) < kFewCalls) {
      guard_->forget(space);
      continue;
    }
    const OverheadGuard::Reading reading{now, calls, proc::read_cpu_ns(process->pid)};
    apply(guard_->judge(space, reading, object_->spaces()[space].sample_level), *process);
  }
}

/// Makes the probes cheaper for a process, or ends its trace, and says so.
void Session::apply(const OverheadGuard::Verdict& verdict, tracing::TracedProcess& process) {
  if (verdict.step == OverheadGuard::Step::kNone) return;
  report::Diagnostic diagnostic;
  diagnostic.severity = "warning";
  diagnostic.pid = process.pid;
  diagnostic.t_ns = since_start_ns();
  diagnostic.unix_us = unix_us();
  const std::string what =
      fmt::format("{} makes {} allocator calls a second, which take {:.0f} % of its time", process.info.comm,
                  format_count(static_cast<std::uint64_t>(verdict.calls_per_s)), verdict.percent);
  if (verdict.step == OverheadGuard::Step::kSample && object_->set_sample_level(process.space, verdict.level)) {
    diagnostic.code = "overhead_sampled";
    const std::uint64_t distance = object_->sample_distance(verdict.level);
    diagnostic.message = fmt::format("{}: from now on one allocation in {} is recorded", what, format_bytes(distance));
    diagnostic.hint =
        fmt::format("--sample {}k records that few of all processes; --max-overhead sets the limit", distance / 1024);
  } else {
    object_->mute(process.space);
    process.is_muted = true;
    if (!adopts()) tracker_->disarm(process);
    diagnostic.code = "overhead_muted";
    diagnostic.message = fmt::format("{}: it is not traced any more", what);
    diagnostic.hint = adopts() ? "the probes themselves stay, since others use the same allocator; filters that few "
                                 "processes pass give each its own"
                               : "--max-overhead sets the limit";
  }
  log::info("pid {}: {}", process.pid, diagnostic.message);
  write([&](report::Writer& writer) { return writer.diagnostic(diagnostic); });
}

}  // namespace tracer::session
