// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "heap/snapshot.h"

namespace tracer::heap {

/// The live bytes of every site over time, to judge them by.
///
/// Each process has a series of moments, evenly spaced over all the time that it was observed. When it is full, every
/// second one is dropped and the next ones are taken at twice the distance: a run of a second and one of a month take
/// the same memory, at most some 16 MiB for all processes. What finds no room has the course kUnknown.
///
/// Used by one thread.
class SiteHistories {
 public:
  static constexpr std::size_t kMostSamples = 48;
  static constexpr std::size_t kMostSites = std::size_t{1} << 15;
  /// Distance of the first samples.
  static constexpr std::uint64_t kFirstSpacingNs = 50'000'000;

  /// Whether add() would take a sample of the process at `t_ns`. Times never go back.
  bool is_due(const HeapIdentity& identity, std::uint64_t t_ns) const;
  bool knows(const HeapIdentity& identity) const { return processes_.contains(identity); }
  /// Takes a sample, unless it is not due.
  void add(const ProcessSnapshot& process, std::uint64_t t_ns);
  /// Sets `trend` of the sites with live blocks; what is live now counts as the last sample.
  void judge(ProcessSnapshot& process, std::uint64_t t_ns) const;

  /// The process has ended, and is judged no more.
  void forget(const HeapIdentity& identity);
  /// Begins anew: recording was interrupted, and what has happened meanwhile is not known.
  void clear();

 private:
  struct Site {
    std::vector<std::uint64_t> bytes;  ///< one per moment
    double object_ns = 0;              ///< time lived by all its blocks up to the last sample
    std::uint64_t objects = 0;         ///< live ones, at the last sample
  };
  struct Process {
    std::uint64_t spacing_ns = kFirstSpacingNs;
    std::uint64_t last_ns = 0;        ///< of the last sample, which may have been dropped since
    std::vector<std::uint64_t> t_ns;  ///< the moments
    std::unordered_map<StackId, Site> sites;
  };

  void add_site(Process& process, const SiteTotals& totals, std::uint64_t t_ns);
  static void thin_out(Process& process);

  std::map<HeapIdentity, Process> processes_;
  std::size_t sites_ = 0;  ///< of all processes
};

}  // namespace tracer::heap
