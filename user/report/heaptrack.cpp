// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <unordered_map>

#include "base/units.h"
#include "report/compress.h"
#include "report/document.h"
#include "report/heaptrack_blocks.h"

namespace tracer::report {
namespace {

constexpr std::uint64_t kNsPerMs = 1'000'000;
constexpr std::size_t kFlushBytes = 1 << 20;

/// Writes the lines; every string, place and trace gets its number when it is first needed, from 1 on. Numbers in the
/// file are hexadecimal. heaptrack's source: src/analyze/accumulatedtracedata.cpp of version 1.4.
class HeaptrackFile {
 public:
  HeaptrackFile(const Profile& profile, Output& output) : profile_(profile), output_(output) {}

  Result<void> write() {
    add_header();
    std::vector<BlockRun> freed;
    std::vector<BlockRun> live;
    // Only id 0 is taken for the last allocation behind a free: no real one must have it.
    line("a 0 0");
    const std::uint64_t factor = blocks_per_line(profile_);
    for (const Sample& sample : profile_.samples()) {
      const std::size_t trace = trace_of(sample);
      const heap::SiteTotals& totals = sample.totals;
      add_runs(freed, trace, {totals.free_objects, totals.free_bytes}, factor);
      add_runs(live, trace, {totals.live_objects(), totals.live_bytes()}, factor);
    }
    line("c 0");
    // What came and went, then what stayed, and with it as much of the former as there was at the peak.
    const std::vector<BlockRun> at_peak = take_fitting(freed, peak_bytes() - std::min(peak_bytes(), bytes_of(live)));
    Result<void> done = for_each_batch(freed, peak_bytes(), [this](const std::vector<BlockRun>& batch) {
      Result<void> grown = steps('+', batch);
      return grown ? steps('-', batch) : std::move(grown);
    });
    if (done) done = steps('+', live);
    if (done) done = steps('+', at_peak);
    if (done) done = steps('-', at_peak);
    if (!done) return done;
    add_end();
    return flush();
  }

 private:
  template <typename... Args>
  void line(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
    text_ += '\n';
  }

  Result<void> flush() {
    Result<void> done = output_.write(text_);
    text_.clear();
    return done;
  }

  Result<void> steps(char sign, const std::vector<BlockRun>& runs) {
    for (const BlockRun& run : runs) {
      const std::string step = fmt::format("{} {:x}\n", sign, run.info);
      for (std::uint64_t i = 0; i < run.count; ++i) {
        text_ += step;
        if (text_.size() < kFlushBytes) continue;
        if (Result<void> done = flush(); !done) return done;
      }
    }
    return {};
  }

  static std::uint64_t bytes_of(const std::vector<BlockRun>& runs) {
    std::uint64_t bytes = 0;
    for (const BlockRun& run : runs) bytes += run.size_bytes * run.count;
    return bytes;
  }

  /// Of several processes as if all had been at their largest at one time.
  std::uint64_t peak_bytes() const {
    std::uint64_t peak = 0;
    for (const heap::ProcessSnapshot& process : profile_.snapshot().processes) peak += process.peak_bytes;
    return peak;
  }

  void add_header() {
    const RunInfo& run = profile_.run();
    line("v 10400 3");
    const std::string sampled =
        run.sample_bytes == 0 ? "" : fmt::format(" [sampled {}]", format_bytes(run.sample_bytes));
    line("X {}{}", profile_.command, sampled);
    const std::uint64_t page = page_bytes();
    line("I {:x} {:x}", page, run.host.memory_bytes / page);
    if (run.mode != "command") line("A");
  }

  std::uint64_t page_bytes() const { return std::max<std::uint64_t>(profile_.run().host.page_bytes, 1); }

  std::size_t text_of(std::string_view text) {
    if (text.empty()) return 0;
    const auto [known, is_new] = texts_.try_emplace(one_line(text), texts_.size() + 1);
    if (is_new) line("s {:x} {}", known->first.size(), known->first);
    return known->second;
  }

  std::size_t place_of(const NamedFrame& frame) {
    const std::tuple key(frame.frame.module, frame.address(), frame.sources->front().function);
    if (const auto known = places_.find(key); known != places_.end()) return known->second;
    const std::size_t module = text_of(profile_.names().module_path(frame.frame.module));
    std::string names;
    for (const symbols::SourceFrame& source : *frame.sources) {
      const std::size_t function = text_of(source.function);
      const std::size_t file = text_of(source.file);
      names += fmt::format(" {:x} {:x} {:x}", function, file, source.line);
    }
    line("i {:x} {:x}{}", frame.address(), module, names);
    return places_[key] = places_.size() + 1;
  }

  std::size_t root_place(const std::string& root) {
    const std::tuple key(heap::kNoModule, std::uint64_t{0}, root);
    if (const auto known = places_.find(key); known != places_.end()) return known->second;
    const std::size_t name = text_of(root);
    line("i 0 0 {:x} 0 0", name);
    return places_[key] = places_.size() + 1;
  }

  std::size_t trace_node(std::size_t place, std::size_t parent) {
    const auto [known, is_new] = traces_.try_emplace({place, parent}, traces_.size() + 1);
    if (is_new) line("t {:x} {:x}", place, parent);
    return known->second;
  }

  std::size_t trace_of(const Sample& sample) {
    std::size_t trace = 0;
    if (const std::string root = profile_.root_of(sample); !root.empty()) trace = trace_node(root_place(root), trace);
    const std::vector<NamedFrame> frames = profile_.frames_of(sample);
    for (auto frame = frames.rbegin(); frame != frames.rend(); ++frame) trace = trace_node(place_of(*frame), trace);
    return trace;
  }

  void add_runs(std::vector<BlockRun>& runs, std::size_t trace, Blocks blocks, std::uint64_t factor) {
    for (const Blocks& part : even_sizes(blocks, factor)) {
      const std::uint64_t size = part.bytes / part.count;
      const auto [known, is_new] = infos_.try_emplace({size, trace}, infos_.size() + 1);
      if (is_new) line("a {:x} {:x}", size, trace);
      runs.push_back({known->second, size, part.count});
    }
  }

  void add_end() {
    line("c {:x}", profile_.snapshot().t_ns / kNsPerMs);
    std::uint64_t rss = 0;
    for (const heap::ProcessSnapshot& process : profile_.snapshot().processes) rss += process.rss_bytes;
    if (rss != 0) line("R {:x}", rss / page_bytes());
  }

  const Profile& profile_;
  Output& output_;
  std::string text_;
  std::unordered_map<std::string, std::size_t> texts_;
  std::map<std::tuple<heap::ModuleId, std::uint64_t, std::string>, std::size_t> places_;
  std::map<std::pair<std::size_t, std::size_t>, std::size_t> traces_;   ///< (place, parent)
  std::map<std::pair<std::uint64_t, std::size_t>, std::size_t> infos_;  ///< (size, trace); from 1 on, see write()
};

}  // namespace

Result<void> write_heaptrack(const Profile& profile, const FormatOptions& options, Output& output) {
  const bool is_gzip = options.path.ends_with(".gz");
  if (!is_gzip && !options.path.ends_with(".zst")) return HeaptrackFile(profile, output).write();
  const std::unique_ptr<CompressedOutput> packed = is_gzip ? make_gzip_output(output) : make_zstd_output(output);
  if (Result<void> done = HeaptrackFile(profile, *packed).write(); !done) return done;
  return packed->finish();
}

}  // namespace tracer::report
