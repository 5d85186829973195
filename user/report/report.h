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
#include "heap/grouping.h"
#include "heap/snapshot.h"
#include "heap/stack.h"
#include "heap/suppressions.h"
#include "proc/process_filter.h"
#include "report/host.h"
#include "report/names.h"

namespace tracer::report {

/// What the run was asked to do: the `header` record.
struct RunInfo {
  std::vector<std::string> argv;
  Host host;
  std::string mode;  ///< "pid", "command" or "all"
  std::vector<pid_t> pids;
  proc::ProcessFilter filter;                  ///< "all": of which processes
  heap::GroupBy by = heap::GroupBy::kProcess;  ///< "all": what the table adds up
  std::uint64_t unix_us = 0;
  std::uint64_t boot_unix_us = 0;  ///< when CLOCK_BOOTTIME was 0; 0: not known, and no process has a start time
  std::uint64_t interval_ns = 0;
  std::uint64_t older_ns = 0;
  std::uint64_t min_size_bytes = 0;
  std::uint64_t max_size_bytes = 0;  ///< 0: no limit
  std::uint64_t sample_bytes = 0;    ///< mean distance of samples; 0: every allocation is recorded
  unsigned top = 10;
  unsigned max_stack = 0;
  std::string include;  ///< -I and -X; empty: not given
  std::string exclude;
  std::string unwind;   ///< "dwarf" or "fp"
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
  std::uint64_t start_ns = 0;  ///< this and what follows as in heap::ProcessSnapshot
  pid_t ns_pid = 0;
  std::optional<uid_t> uid;
  std::string user;
  std::string container;
  std::optional<int> exit_code;  ///< known for the traced command only
  std::optional<int> exit_signal;
};

/// Which file a mapping shows: see library::FileIdentity.
struct FileIdentity {
  std::string device;  ///< "8:1"
  std::uint64_t inode = 0;
  std::uint64_t generation = 0;  ///< 0: the file system has none
  std::uint64_t changed_ns = 0;
  std::string told_by;  ///< what tells two uses of the inode apart: "generation" or "change_time"
};

struct LibraryEvent {
  /// kRetire: no process maps it any more, its file is closed.
  enum class Kind { kLoad, kUnload, kRetire } kind = Kind::kLoad;
  std::uint64_t t_ns = 0;
  std::uint64_t unix_us = 0;
  pid_t pid = 0;
  std::uint32_t module = 0;  ///< number of the cache entry
  std::string state;         ///< of the cache entry after the event
  FileIdentity identity;
  std::string path;
  std::string build_id;
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint64_t file_offset = 0;
  std::vector<std::string> probes;        ///< functions to be armed in it; empty for most libraries
  std::optional<std::uint64_t> armed_ns;  ///< from the announcement until they were, if this event armed them
};

/// Recording began, or was interrupted.
struct RecordingEvent {
  bool enabled = false;
  std::uint64_t t_ns = 0;
  std::uint64_t unix_us = 0;
  std::uint64_t paused_ns = 0;           ///< enabled: how long nothing was recorded; 0 at the beginning of the run
  std::uint64_t unverified_objects = 0;  ///< enabled: blocks of before, which may have been freed meanwhile
  std::uint64_t unverified_bytes = 0;
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
  std::string reason;  ///< "duration", "signal", "target_exit", "count", "control" or "error"
  std::uint64_t duration_ns = 0;
  std::uint64_t pauses = 0;     ///< how often recording was interrupted, or had not begun yet
  std::uint64_t paused_ns = 0;  ///< part of duration_ns
};

/// Looks a stack up by id; nullptr for an id that is not (yet) resolved.
using StackLookup = std::function<const heap::Stack*(heap::StackId)>;

/// What every writer shares: how stacks are found and named, which are shown, how many.
struct Context {
  StackLookup stack;
  Names* symbolizer = nullptr;
  unsigned top = 10;
  unsigned profile_top = 0;  ///< the same for profiles, and for what NDJSON holds to make them from; 0: all stacks
  bool folds = true;         ///< people need not see frames of allocators, containers and program starts
  std::optional<std::regex> include;  ///< -I: a stack is shown if any of its functions or modules matches
  std::optional<std::regex> exclude;  ///< -X: … and none matches this
  std::shared_ptr<const heap::Suppressions> suppressions;  ///< leaks that are not reported; nullptr: none
};

/// One output format. Called by the session thread in the order of time: begin, then events and snapshots, then finish.
/// Each call that fails (the reader closed the pipe, the disk is full) returns the error; the session then stops.
class Writer {
 public:
  virtual ~Writer() = default;
  virtual Result<void> begin(const RunInfo& run) = 0;
  virtual Result<void> process(const ProcessEvent& event) = 0;
  /// A run of the whole machine: the last of a heap that has ended, which no later snapshot has. `moment` says when:
  /// its `processes` are not looked at. Stacks that are not resolved yet are left out.
  virtual Result<void> process_ended(const heap::ProcessSnapshot& process, const heap::Snapshot& moment) = 0;
  virtual Result<void> library(const LibraryEvent& event) = 0;
  virtual Result<void> recording(const RecordingEvent& event) = 0;
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
  /// Whether each snapshot gets a place of its own. If not, only the last one is to be written where a format can hold
  /// no more than one.
  virtual bool keeps_each_snapshot() const { return false; }
  /// What was written since the last call is all about snapshot `seq`.
  virtual Result<void> end_snapshot(std::uint64_t /*seq*/) { return {}; }
};

struct TableStyle {
  bool color = false;
  unsigned columns = 0;  ///< width of the terminal, 0 when it is none (lines are then not cut)
};

std::unique_ptr<Writer> make_ndjson_writer(Output& output, Context context);
std::unique_ptr<Writer> make_table_writer(Output& output, Context context, TableStyle style);

}  // namespace tracer::report
