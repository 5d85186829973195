// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "report/report.h"

namespace tracer::report::testing {

/// Keeps what was written, one string per call; fails from the call on that `fail_at` numbers.
class MemoryOutput : public Output {
 public:
  Result<void> write(std::string_view bytes) override {
    if (writes.size() == fail_at) return Error::from_errno(32, "cannot write");
    writes.emplace_back(bytes);
    return {};
  }
  std::string text() const {
    std::string all;
    for (const std::string& one : writes) all += one;
    return all;
  }

  std::vector<std::string> writes;
  std::size_t fail_at = static_cast<std::size_t>(-1);
};

/// Names that the stand-in for the Symbolizer (fake_symbolizer_test.cpp) answers with, by module and address in it.
struct FakeNames {
  std::map<std::pair<heap::ModuleId, std::uint64_t>, std::vector<symbols::SourceFrame>> frames;
  std::vector<symbols::Lack> lacks;
  std::size_t questions = 0;  ///< calls of symbolize()
};
FakeNames& fake_names();

/// A server that leaks from three of its five stacks, and the last snapshot of its forked child: what a run sees, with
/// stacks of every kind of end, inlined frames, code without a file and frames without a name.
class Scene {
 public:
  Scene();

  /// For a writer that lives no longer than the scene.
  Context context(unsigned top = 10);
  static RunInfo run();
  static heap::Snapshot snapshot();
  static heap::Snapshot last_snapshot();
  /// Everything that a run writes, in its order: 2 processes, 1 fork, 2 exits, 1 library, 1 diagnostic, 2 snapshots.
  static Result<void> play(Writer& writer);

  heap::Stack& stack(heap::StackId id) { return stacks_.at(id); }
  void forget_stack(heap::StackId id) { stacks_.erase(id); }
  void add_stack(heap::Stack stack);

 private:
  symbols::Symbolizer symbolizer_;
  FileNames names_{symbolizer_};
  std::map<heap::StackId, heap::Stack> stacks_;
};

/// The scene's process with one more live block per byte count given, each under a stack of its own from 100 on.
heap::ProcessSnapshot process_with(const std::vector<std::uint64_t>& live_bytes);

/// Compares with tests/golden/`name`; with TRACER_UPDATE_GOLDEN=1 in the environment writes it instead.
void expect_golden(const std::string& name, const std::string& text);

/// Asks Python's jsonschema, an implementation of the standard that is not ours, whether all lines follow
/// docs/ndjson-schema.json. Returns its exit status: 0 yes, 3 no.
int validate(const std::string& ndjson);

}  // namespace tracer::report::testing
