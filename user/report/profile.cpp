// SPDX-License-Identifier: Apache-2.0
#include "report/profile.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/site_view.h"
#include "report/text.h"

namespace tracer::report {
namespace {

std::vector<symbols::SourceFrame> called(const char* text) {
  symbols::SourceFrame frame;
  frame.function = text;
  return {frame};
}

/// The one frame of a sample without a stack.
NamedFrame nameless(const Sample& sample) {
  static const std::vector<symbols::SourceFrame> kUnknown = called("[unknown stack]");
  static const std::vector<symbols::SourceFrame> kRest = called("[other stacks]");
  static const std::vector<symbols::SourceFrame> kEnded = called("[processes that have ended]");
  return {heap::Frame{}, sample.process == nullptr ? &kEnded : sample.is_rest ? &kRest : &kUnknown};
}

bool is_operator_new(const symbols::SourceFrame& source) {
  const std::string& name = source.function;
  return name.starts_with("operator new(") || name.starts_with("operator new[](") || name.starts_with("_Znwm") ||
         name.starts_with("_Znam");
}

/// How many of the innermost frames are the allocator's: the function that has the probe, and what C++ wraps round it.
std::size_t allocator_frames(const std::vector<NamedFrame>& frames) {
  std::size_t count = !frames.empty() && frames[0].frame.exact ? 1 : 0;
  while (count != 0 && count < frames.size() && is_operator_new(frames[count].sources->back())) ++count;
  return count < frames.size() ? count : 0;
}

std::uint64_t rest(std::uint64_t all, std::uint64_t known) { return all - std::min(all, known); }

void add_up(heap::HeapCounters& sum, const heap::SiteTotals& site) {
  sum.alloc_objects_total += site.alloc_objects;
  sum.alloc_bytes_total += site.alloc_bytes;
  sum.live_objects += site.live_objects();
  sum.live_bytes += site.live_bytes();
}

}  // namespace

Profile::Profile(const RunInfo& run, const Context& context, const heap::Snapshot& snapshot)
    : run_(run), context_(context), snapshot_(snapshot) {
  std::size_t with_samples = 0;
  Context whole = context;
  whole.top = context.profile_top;
  SiteView view(whole);
  for (const heap::ProcessSnapshot& process : snapshot.processes) {
    with_samples += process.alloc_objects_total != 0;
    add_process(process, view.rank(process, Rank::kAll).shown);
  }
  has_several_ = run.mode == "all" || with_samples > 1;
  if (snapshot.machine) add_ended();
}

void Profile::add_process(const heap::ProcessSnapshot& process, const std::vector<const heap::SiteTotals*>& shown) {
  heap::HeapCounters known;
  for (const heap::SiteTotals* site : shown) {
    samples_.push_back({&process, *site});
    add_up(known, *site);
  }
  add_rest(&process, process, known);
}

/// Of heaps that have ended nothing but the counts is left.
void Profile::add_ended() {
  heap::HeapCounters alive;
  for (const heap::ProcessSnapshot& process : snapshot_.processes) {
    alive.alloc_objects_total += process.alloc_objects_total;
    alive.alloc_bytes_total += process.alloc_bytes_total;
    alive.live_objects += process.live_objects;
    alive.live_bytes += process.live_bytes;
  }
  add_rest(nullptr, snapshot_.machine->counters, alive);
}

/// What is counted under no stack that is shown. With filters it is what they leave out, and nobody asked for it.
void Profile::add_rest(const heap::ProcessSnapshot* process, const heap::HeapCounters& all,
                       const heap::HeapCounters& known) {
  const bool is_filtered = !run_.include.empty() || !run_.exclude.empty();
  if (is_filtered || context_.include || context_.exclude) return;
  Sample sample{process, {}, true};
  sample.totals.alloc_objects = rest(all.alloc_objects_total, known.alloc_objects_total);
  sample.totals.alloc_bytes = rest(all.alloc_bytes_total, known.alloc_bytes_total);
  const std::uint64_t live_objects = rest(all.live_objects, known.live_objects);
  const std::uint64_t live_bytes = rest(all.live_bytes, known.live_bytes);
  sample.totals.free_objects = rest(sample.totals.alloc_objects, live_objects);
  sample.totals.free_bytes = rest(sample.totals.alloc_bytes, live_bytes);
  if (sample.totals.alloc_objects != 0 || sample.totals.alloc_bytes != 0) samples_.push_back(sample);
}

std::vector<NamedFrame> Profile::frames_of(const Sample& sample) const {
  std::vector<NamedFrame> frames;
  const heap::Stack* stack = sample.is_rest ? nullptr : context_.stack(sample.totals.stack_id);
  if (stack == nullptr || stack->frames.empty()) return {nameless(sample)};
  for (const heap::Frame& frame : stack->frames) frames.push_back({frame, &context_.symbolizer->symbolize(frame)});
  frames.erase(frames.begin(), frames.begin() + static_cast<std::ptrdiff_t>(allocator_frames(frames)));
  return frames;
}

std::vector<symbols::SourceFrame> Profile::functions_of(const Sample& sample) const {
  std::vector<symbols::SourceFrame> functions;
  for (const NamedFrame& frame : frames_of(sample))
    functions.insert(functions.end(), frame.sources->begin(), frame.sources->end());
  std::ranges::reverse(functions);
  return functions;
}

std::string Profile::root_of(const Sample& sample) const {
  if (!has_several_ || sample.process == nullptr) return {};
  return fmt::format("{}-{}", one_line(sample.process->comm), sample.process->pid);
}

std::string one_line(std::string_view text) {
  std::string line = valid_utf8(text);
  for (char& letter : line) {
    if (static_cast<unsigned char>(letter) < ' ' || letter == '\x7f') letter = ' ';
  }
  return line;
}

}  // namespace tracer::report
