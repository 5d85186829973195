// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/result.h"
#include "heap/grouping.h"
#include "recording/fields.h"
#include "recording/recorded_names.h"
#include "report/report.h"

namespace tracer::recording {

/// An error of kind kCorrupt.
Error malformed(std::string what);

/// A recorded run (docs/ndjson.md), read line by line. One thread uses it.
///
/// It keeps what the last report is made from: the newest snapshot of each process with its stacks, the losses, the
/// totals of the machine. Records and members that it does not know are passed over. After a line that is malformed
/// everything that came before it still holds.
class Recording {
 public:
  /// Called when the header has been read.
  std::function<Result<void>()> on_header;
  /// Receives the events of the run in their order, from then on.
  void set_listener(report::Writer* listener) { listener_ = listener; }

  /// Takes one record, without its end of line. Fails with kCorrupt when it is malformed; a failure of the listener is
  /// passed on.
  Result<void> take(std::string_view line);

  bool has_header() const { return has_header_; }
  const report::RunInfo& run() const { return run_; }
  RecordedNames& names() { return names_; }

  /// Nothing: the recording was cut off, or has not ended yet.
  const std::optional<report::Summary>& summary() const { return summary_; }
  /// The moment of the summary, or of the last record.
  heap::Snapshot last_snapshot() const;

 private:
  /// Two programs of one process follow one another under one identity, but for runs of the whole machine.
  using Key = std::tuple<heap::HeapIdentity, unsigned>;
  struct Kept {
    heap::ProcessSnapshot process;
    std::uint64_t seq = 0;
    std::uint64_t order = 0;  ///< of its record
    bool has_sites = false;   ///< its sites are all that there are, and whole
  };
  struct Reader {
    const char* type;
    Result<void> (Recording::*read)(const Fields& record);
  };
  static const std::array<Reader, 11> kReaders;

  Result<void> read_header(const Fields& record);
  Result<void> read_process(const Fields& record);
  Result<void> read_recording(const Fields& record);
  Result<void> read_diagnostic(const Fields& record);
  Result<void> read_module(const Fields& record);
  Result<void> read_stack(const Fields& record);
  Result<void> read_snapshot(const Fields& record);
  Result<void> read_site(const Fields& record);
  Result<void> read_machine(const Fields& record);
  Result<void> read_lost(const Fields& record);
  Result<void> read_summary(const Fields& record);

  void keep(heap::ProcessSnapshot process, std::uint64_t seq);
  template <typename Tell>
  Result<void> tell(Tell&& tell) {
    return listener_ == nullptr ? Result<void>() : tell(*listener_);
  }
  bool is_machine() const { return run_.mode == "all"; }

  report::Writer* listener_ = nullptr;
  bool has_header_ = false;
  report::RunInfo run_;
  RecordedNames names_;
  std::map<Key, Kept> processes_;
  std::map<heap::HeapIdentity, unsigned> programs_;  ///< of the moment that is being read
  Kept* current_ = nullptr;                          ///< of the last snapshot record
  std::uint64_t order_ = 0;
  heap::Snapshot last_;  ///< without processes
  heap::ExitedBooks exited_{heap::GroupBy::kProcess};
  std::optional<report::Summary> summary_;
};

}  // namespace tracer::recording
