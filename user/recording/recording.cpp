// SPDX-License-Identifier: Apache-2.0
#include "recording/recording.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/rapidjson.h"

namespace tracer::recording {
namespace {

Result<void> verdict(const std::string& problem, const std::string& type) {
  if (problem.empty()) return {};
  return malformed(fmt::format("{} record: {}", type, problem));
}

/// The same sum, in the same order, as when it was recorded.
double variance_of(std::vector<heap::SiteTotals> sites) {
  std::ranges::sort(sites, {}, &heap::SiteTotals::stack_id);
  double sum = 0;
  for (const heap::SiteTotals& site : sites) sum += site.live_variance;
  return sum;
}

}  // namespace

Error malformed(std::string what) {
  return Error(ErrorKind::kCorrupt, std::move(what),
               "a recording is what 'tracer -f ndjson' or '-o FILE.ndjson' writes");
}

const std::array<Recording::Reader, 11> Recording::kReaders{{
    {"header", &Recording::read_header},
    {"process", &Recording::read_process},
    {"recording", &Recording::read_recording},
    {"diagnostic", &Recording::read_diagnostic},
    {"module", &Recording::read_module},
    {"stack", &Recording::read_stack},
    {"snapshot", &Recording::read_snapshot},
    {"site", &Recording::read_site},
    {"machine", &Recording::read_machine},
    {"lost", &Recording::read_lost},
    {"summary", &Recording::read_summary},
}};

Result<void> Recording::take(std::string_view line) {
  // Neither deep nesting nor an odd number of quotes costs more than the line is long: no recursion.
  rapidjson::Document json;
  json.Parse<rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag>(line.data(), line.size());
  if (json.HasParseError())
    return malformed(
        fmt::format("column {}: {}", json.GetErrorOffset() + 1, rapidjson::GetParseError_En(json.GetParseError())));
  std::string problem;
  const Fields record(json, &problem);
  const std::string type = record.text("type");
  if (!has_header_ && type != "header") return malformed("the first line is no header");
  if (summary_) return malformed("there is more behind the summary");
  for (const Reader& reader : kReaders) {
    if (type != reader.type) continue;
    if (Result<void> done = (this->*reader.read)(record); !done) return done;
  }
  return verdict(problem, type);
}

void Recording::keep(heap::ProcessSnapshot process, std::uint64_t seq) {
  const heap::HeapIdentity identity = process.identity();
  if (is_machine() && process.exited) {
    exited_.add(process);
    processes_.erase({identity, 0});
    return;
  }
  const unsigned program = is_machine() ? 0 : programs_[identity]++;
  Kept& kept = processes_[{identity, program}];
  kept = {std::move(process), seq, ++order_, false};
  current_ = &kept;
}

heap::Snapshot Recording::last_snapshot() const {
  heap::Snapshot snapshot = last_;
  std::vector<const Kept*> kept;
  for (const auto& [key, one] : processes_) {
    // The last snapshots of a whole run are of every process that is alive.
    if (!summary_ || one.seq == last_.seq) kept.push_back(&one);
  }
  std::ranges::sort(kept, {}, &Kept::order);
  for (const Kept* one : kept) {
    snapshot.processes.push_back(one->process);
    heap::ProcessSnapshot& process = snapshot.processes.back();
    if (one->has_sites && process.estimated) process.live_variance = variance_of(process.sites);
  }
  if (is_machine()) {
    heap::Snapshot counted = snapshot;
    exited_.complete(counted);
    snapshot.exited_groups = counted.exited_groups;
    // Of a run that was cut off before anything was added up.
    if (!snapshot.machine) snapshot.machine = counted.machine;
  }
  return snapshot;
}

}  // namespace tracer::recording
