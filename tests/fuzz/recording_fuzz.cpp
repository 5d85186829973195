// SPDX-License-Identifier: Apache-2.0
// Reads any bytes as a recorded run and makes profiles of what was whole, in each format that takes no line per block.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "recording/recording.h"
#include "report/document.h"
#include "report/heaptrack_blocks.h"

namespace tracer::recording {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

class Bytes : public report::Output {
 public:
  Result<void> write(std::string_view bytes) override {
    count += bytes.size();
    return {};
  }
  std::size_t count = 0;
};

/// A header that is good, so that what follows is looked at.
constexpr std::string_view kHeader =
    R"({"type":"header","schema":"tracer/1","ts":1.5,"host":{},"argv":["x"],"mode":"pid","pids":[1],"config":{}})";

void read(Recording& recording, std::string_view text) {
  if (!text.starts_with("{\"type\":\"header")) require(recording.take(kHeader).ok());
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const Result<void> taken = recording.take(text.substr(0, end));
    if (!taken) {
      require(!taken.error().message().empty() && !taken.error().hint().empty());
      return;
    }
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

void write_all(Recording& recording) {
  const heap::Snapshot snapshot = recording.last_snapshot();
  report::Context context;
  context.stack = [&](heap::StackId id) { return recording.names().find(id); };
  context.symbolizer = &recording.names();
  const report::Profile profile(recording.run(), context, snapshot);
  double blocks = 0;
  for (const report::Sample& sample : profile.samples()) {
    require(sample.totals.live_bytes() <= sample.totals.alloc_bytes);
    require(!profile.frames_of(sample).empty());
    blocks += static_cast<double>(sample.totals.alloc_objects) + static_cast<double>(sample.totals.free_objects);
  }
  Bytes output;
  for (auto write : {report::write_folded, report::write_pprof, report::write_speedscope, report::write_dhat})
    require(write(profile, {}, output).ok());
  if (blocks < 10'000) require(report::write_heaptrack(profile, {}, output).ok());
  require(output.count > 0);
}

}  // namespace
}  // namespace tracer::recording

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tracer::recording;
  Recording recording;
  read(recording, {reinterpret_cast<const char*>(data), size});
  if (recording.has_header()) write_all(recording);
  return 0;
}
