// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "base/result.h"
#include "heap/snapshot.h"
#include "heap/stack.h"
#include "symbols/symbolizer.h"

namespace tracer::report {

/// What the run was asked to do: the `header` record.
struct RunInfo {
  std::vector<std::string> argv;
  std::string mode;  ///< "pid" or "command"
  std::vector<pid_t> pids;
  std::uint64_t unix_us = 0;
  std::uint64_t interval_ns = 0;
  std::uint64_t older_ns = 0;
  std::uint64_t min_size_bytes = 0;
  std::uint64_t max_size_bytes = 0;  ///< 0: no limit
  unsigned top = 10;
  unsigned max_stack = 127;
  std::string backend;  ///< "multi" or "perf"
};

struct ProcessEvent {
  enum class Kind { kAttach, kFork, kExec, kExit } kind = Kind::kAttach;
  std::uint64_t t_ns = 0;
  std::uint64_t unix_us = 0;
  pid_t pid = 0;
  pid_t parent_pid = 0;
  std::string comm;
  std::string exe;
  std::vector<std::string> cmdline;
  std::optional<int> exit_code;  ///< known for the traced command only
  std::optional<int> exit_signal;
};

struct LibraryEvent {
  enum class Kind { kLoad, kUnload } kind = Kind::kLoad;
  std::uint64_t t_ns = 0;
  std::uint64_t unix_us = 0;
  pid_t pid = 0;
  std::string path;
  std::string build_id;
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint64_t file_offset = 0;
  std::vector<std::string> probes;  ///< functions armed in it; empty for most libraries
};

struct Diagnostic {
  std::string severity;  ///< "info", "warning" or "error"
  std::string code;      ///< snake_case
  std::string message;
  std::string hint;
  std::uint64_t t_ns = 0;
  std::uint64_t unix_us = 0;
  pid_t pid = 0;  ///< 0: the whole run
};

struct Summary {
  std::string reason;  ///< "duration", "signal", "target_exit", "count" or "error"
  std::uint64_t duration_ns = 0;
};

/// Looks a stack up by id; nullptr for an id that is not (yet) resolved.
using StackLookup = std::function<const heap::Stack*(heap::StackId)>;

/// What every writer shares: how stacks are found and named, which are shown, how many.
struct Context {
  StackLookup stack;
  symbols::Symbolizer* symbolizer = nullptr;
  unsigned top = 10;
  std::optional<std::regex> include;  ///< -I: a stack is shown if any of its functions or modules matches
  std::optional<std::regex> exclude;  ///< -X: … and none matches this
};

/// One output format. Called by the session thread in the order of time: begin, then events and snapshots, then finish.
/// Each call that fails (the reader closed the pipe, the disk is full) returns the error; the session then stops.
class Writer {
 public:
  virtual ~Writer() = default;
  virtual Result<void> begin(const RunInfo& run) = 0;
  virtual Result<void> process(const ProcessEvent& event) = 0;
  virtual Result<void> library(const LibraryEvent& event) = 0;
  virtual Result<void> diagnostic(const Diagnostic& diagnostic) = 0;
  /// A periodic snapshot.
  virtual Result<void> snapshot(const heap::Snapshot& snapshot) = 0;
  /// The last snapshot: leaks and the summary. Nothing is written after it.
  virtual Result<void> finish(const heap::Snapshot& snapshot, const Summary& summary) = 0;
};

/// Where bytes go: a descriptor, flushed at the end of each record. write() keeps going over short writes and EINTR.
class Output {
 public:
  virtual ~Output() = default;
  virtual Result<void> write(std::string_view bytes) = 0;
};

struct TableStyle {
  bool color = false;
  unsigned columns = 0;  ///< width of the terminal, 0 when it is none (lines are then not cut)
};

std::unique_ptr<Writer> make_ndjson_writer(Output& output, Context context);
std::unique_ptr<Writer> make_table_writer(Output& output, Context context, TableStyle style);

}  // namespace tracer::report
