// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bpf/abi/types.h"
#include "heap/grouping.h"
#include "heap/suppressions.h"
#include "kernel/features.h"
#include "proc/process_filter.h"
#include "report/outputs.h"
#include "tracing/catalogue.h"

namespace tracer::session {

enum class CallGraph { kDwarf, kFp };

/// FIFOs of --control; `answers` may be empty.
struct ControlSpec {
  std::string commands;
  std::string answers;
};

/// What one run is to do. One of `all`, `pids` and `command` is set.
struct Config {
  std::vector<std::string> argv;
  bool all = false;            ///< the whole machine
  proc::ProcessFilter filter;  ///< with `all`: which of its processes
  heap::GroupBy by = heap::GroupBy::kProcess;
  /// With `all`: what a process may lose of its time to the probes before they are made cheaper for it; 0: anything,
  /// nothing: not said.
  std::optional<double> max_overhead_percent;
  std::vector<pid_t> pids;
  std::vector<std::string> command;
  bool follow = false;
  std::uint64_t interval_ns = 5'000'000'000;
  bool interval_given = false;
  std::optional<std::uint64_t> duration_ns;
  /// When recording begins: 0 at once, nothing: when it is enabled from outside.
  std::optional<std::uint64_t> delay_ns = 0;
  std::optional<ControlSpec> control;
  std::optional<std::uint64_t> count;
  std::uint64_t older_ns = 500'000'000;
  std::uint64_t min_size_bytes = 0;
  std::uint64_t max_size_bytes = 0;  ///< 0: no limit
  std::uint64_t sample_bytes = 0;    ///< mean distance of recorded allocations; 0: all are recorded
  bool follow_mappings = false;      ///< --events mmap: memory that is mapped without an allocator
  bool watch_misuse = false;         ///< --events misuse: blocks that are given back as they must not be
  bool count_faults = false;         ///< --events fault: where pages are touched for the first time
  unsigned top = 10;
  unsigned profile_top = 0;  ///< as report::Context has it
  unsigned max_stack = TR_DEFAULT_FRAMES;
  CallGraph call_graph = CallGraph::kDwarf;
  std::uint64_t max_memory_bytes = 256ULL << 20;
  std::string include;
  std::string exclude;
  tracing::FamilySet families = tracing::default_families();
  std::vector<tracing::Function> own;  ///< allocator functions that the user has named
  report::OutputOptions output;
  std::shared_ptr<const heap::Suppressions> suppressions;
  std::optional<kernel::Backend> backend;
  bool inlines = true;
  bool demangle = true;
  /// Servers of debug files, with blanks between; empty: those that the environment names; nothing: none are asked.
  std::optional<std::string> debuginfod;
};

}  // namespace tracer::session
