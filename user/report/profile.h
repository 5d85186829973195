// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "heap/snapshot.h"
#include "report/report.h"

namespace tracer::report {

/// A frame with its names, the most deeply inlined first.
struct NamedFrame {
  heap::Frame frame;
  const std::vector<symbols::SourceFrame>* sources;

  /// The instruction that the frame is about: of a return address the one before it. As the file's symbol table
  /// counts; of code without a file in the process.
  std::uint64_t address() const {
    if (frame.module == heap::kNoModule) return frame.ip;
    return frame.exact || frame.module_address == 0 ? frame.module_address : frame.module_address - 1;
  }
};

/// A stack of one process and what was allocated there.
struct Sample {
  const heap::ProcessSnapshot* process;  ///< nullptr: of processes that have ended
  heap::SiteTotals totals;
  bool is_rest = false;  ///< what the process has allocated under other stacks than those that are shown
};

/// One snapshot as profilers see it: stacks with what they hold, of all processes. Its samples add up to the totals of
/// the snapshot, unless filters leave some out: what is under no stack that is shown is a sample too.
class Profile {
 public:
  /// All of these outlive it. `context.top` does not apply, `context.profile_top` does.
  Profile(const RunInfo& run, const Context& context, const heap::Snapshot& snapshot);

  const RunInfo& run() const { return run_; }
  const heap::Snapshot& snapshot() const { return snapshot_; }
  const Names& names() const { return *context_.symbolizer; }
  const std::vector<Sample>& samples() const { return samples_; }

  /// Innermost first, without the allocator's own function and `operator new`; never empty.
  std::vector<NamedFrame> frames_of(const Sample& sample) const;

  /// Each function of these, inlined ones too, outermost first.
  std::vector<symbols::SourceFrame> functions_of(const Sample& sample) const;

  /// "server-4242" for formats that know nothing of processes, to be the outermost frame. Empty if there is only one.
  std::string root_of(const Sample& sample) const;

  std::string command;  ///< command line of the first traced process
  std::string exe;      ///< its program
  std::int32_t pid = 0;

 private:
  void add_process(const heap::ProcessSnapshot& process, const std::vector<const heap::SiteTotals*>& shown);
  void add_ended();
  void add_rest(const heap::ProcessSnapshot* process, const heap::HeapCounters& all, const heap::HeapCounters& known);

  const RunInfo& run_;
  const Context& context_;
  const heap::Snapshot& snapshot_;
  std::vector<Sample> samples_;
  bool has_several_ = false;
};

/// `text` on one line: control characters become spaces, malformed UTF-8 U+FFFD.
std::string one_line(std::string_view text);

}  // namespace tracer::report
