// SPDX-License-Identifier: Apache-2.0
#include "report/machine_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/units.h"
#include "proc/container.h"
#include "report/text.h"

namespace tracer::report {
namespace {

// Each of these processes takes a screen; more of them, and more stacks, has NDJSON, or a run with --pid.
constexpr std::size_t kProcessesWithStacks = 3;
constexpr unsigned kStacksEach = 5;

/// How a kind of group is called in a heading and where a process belongs to none.
struct KindText {
  const char* column;
  const char* by;
  const char* nameless;
};

KindText text_of(heap::GroupBy by) {
  switch (by) {
    case heap::GroupBy::kProcess:
      break;
    case heap::GroupBy::kExe:
      return {"program", "exe", "(program not known)"};
    case heap::GroupBy::kContainer:
      return {"container", "container", "(in no container)"};
    case heap::GroupBy::kUser:
      return {"user", "user", "(user not known)"};
  }
  return {"process", "process", ""};
}

std::string signed_bytes(double bytes) {
  const auto size = static_cast<std::uint64_t>(std::llround(std::abs(bytes)));
  return (size == 0 ? "" : bytes < 0 ? "-" : "+") + format_bytes(size);
}

std::string counted_processes(std::uint64_t count) {
  return fmt::format("{} process{}", format_count(count), count == 1 ? "" : "es");
}

std::string container_tag(const heap::ProcessSnapshot& process) {
  if (process.container.empty()) return {};
  return fmt::format(" [{}]", printable(proc::short_container(process.container)));
}

std::string row(const std::string& live, const std::string& growth, const std::string& allocs, const std::string& rss) {
  return fmt::format("{:>10}  {:>11}  {:>9}  {:>10}", live, growth, allocs, rss);
}

std::uint64_t held_by(const std::vector<heap::Group>& groups, std::size_t from) {
  std::uint64_t bytes = 0;
  for (std::size_t i = from; i < groups.size(); ++i) bytes += groups[i].live_bytes;
  return bytes;
}

}  // namespace

std::string describe(const heap::ProcessSnapshot& process) {
  std::string text = fmt::format("pid {} {}", process.pid, printable(process.comm));
  if (process.ns_pid != 0) text += fmt::format(" (pid {} inside)", process.ns_pid);
  return text + container_tag(process);
}

void MachineTable::add_snapshot(TableText& text, const heap::Snapshot& snapshot, unsigned columns) {
  const std::vector<heap::Group> groups = rates_.update(snapshot);
  text.parts({fmt::format("[{}] {}", time_of_day(snapshot.unix_us), heading(snapshot, groups.size()))}, Tone::kTitle);
  add_groups(text, groups, columns);
  add_stacks(text, groups, Rank::kLive, kPeriodicFrames);
  const heap::MachineTotals& machine = *snapshot.machine;
  const Certainty certainty{machine.counters.estimated, machine.counters.live_variance};
  const char* about = mark(certainty);
  text.line("");
  text.parts({fmt::format("machine: {} exited", counted_processes(machine.processes_exited_total)),
              "live " + bytes_in_blocks(machine.counters.live_bytes, machine.counters.live_objects, certainty),
              fmt::format("allocated {0}{1} in {0}{2}", about, format_bytes(machine.counters.alloc_bytes_total),
                          format_count(machine.counters.alloc_objects_total)),
              "freed " + (about + format_bytes(machine.counters.free_bytes_total)),
              "held at exit " + (about + format_bytes(machine.held_at_exit_bytes_total)),
              "rss " + format_bytes(machine.rss_bytes)});
}

void MachineTable::add_last(TableText& text, const heap::Snapshot& snapshot, const Summary& summary,
                            const std::string& age_limit, unsigned columns) {
  const std::vector<heap::Group> groups =
      heap::group_with_means(snapshot, by_, summary.duration_ns - std::min(summary.paused_ns, summary.duration_ns));
  std::vector<std::string> title{
      fmt::format("After {}: {}", format_duration(summary.duration_ns), heading(snapshot, groups.size())),
      "rates are means of the run"};
  if (!snapshot.complete()) title.emplace_back("(INCOMPLETE, see the end)");
  text.parts(title, Tone::kTitle);
  add_groups(text, groups, columns);
  if (!age_limit.empty()) {
    text.line("");
    text.line(fmt::format("Stacks of blocks{}:", age_limit), Tone::kTitle);
  }
  add_stacks(text, groups, Rank::kLeaked, kAllFrames);
}

std::string MachineTable::heading(const heap::Snapshot& snapshot, std::size_t groups) const {
  const std::string whole = fmt::format("{}{} live in {}", mark({snapshot.machine->counters.estimated, 0}),
                                        format_bytes(snapshot.machine->counters.live_bytes),
                                        counted_processes(snapshot.machine->processes_live));
  if (groups == 0) return whole;
  const std::size_t shown = shown_of(groups);
  if (by_ == heap::GroupBy::kProcess) return fmt::format("{}, top {} by live bytes", whole, shown);
  return fmt::format("{}, top {} of {} by live bytes", whole, shown, counted(groups, text_of(by_).column));
}

std::size_t MachineTable::shown_of(std::size_t groups) const {
  return context_.top == 0 ? groups : std::min<std::size_t>(groups, context_.top);
}

void MachineTable::add_groups(TableText& text, const std::vector<heap::Group>& groups, unsigned columns) const {
  if (groups.empty()) return;
  std::string titles = row("live", "growth/s", "allocs/s", "rss");
  if (by_ != heap::GroupBy::kProcess) titles += fmt::format("  {:>5}", "procs");
  text.line(fmt::format("{}  {}", titles, text_of(by_).column), Tone::kFaint);
  const std::size_t shown = shown_of(groups.size());
  for (std::size_t i = 0; i < shown; ++i) text.line(row_of(groups[i], columns));
  if (shown < groups.size())
    text.line(row(format_bytes(held_by(groups, shown)), "", "", "") +
              fmt::format("  in {} more", format_count(groups.size() - shown)));
}

std::string MachineTable::row_of(const heap::Group& group, unsigned columns) const {
  const char* about = mark({group.estimated, 0});
  std::string line = row(
      about + format_bytes(group.live_bytes), group.rates ? about + signed_bytes(group.rates->growth_bytes_per_s) : "-",
      group.rates ? about + format_count(static_cast<std::uint64_t>(std::llround(group.rates->alloc_objects_per_s)))
                  : "-",
      format_bytes(group.rss_bytes));
  // By process it would be 1 everywhere.
  if (by_ != heap::GroupBy::kProcess) line += fmt::format("  {:>5}", format_count(group.members.size()));
  line += "  ";
  std::string name = name_of(group);
  if (columns != 0) {
    const std::size_t room = columns - std::min<std::size_t>(columns, columns_of(line));
    // Of a path the end says more than the beginning.
    if (by_ == heap::GroupBy::kExe && columns_of(name) > room) name = std::string(base_name(name));
    name = cut_to(name, room);
  }
  return line + name;
}

std::string MachineTable::name_of(const heap::Group& group) const {
  if (by_ == heap::GroupBy::kProcess) {
    const heap::ProcessSnapshot& process = *group.members.front();
    return fmt::format("{} {}{}", process.pid, printable(process.comm), container_tag(process));
  }
  std::string name = group.key.empty()                  ? text_of(by_).nameless
                     : by_ == heap::GroupBy::kContainer ? printable(proc::short_container(group.key))
                                                        : printable(group.key);
  // An id alone tells little to a person.
  if (by_ == heap::GroupBy::kContainer && !group.key.empty() && !group.members.empty())
    name += fmt::format(" ({})", printable(group.members.front()->comm));
  if (group.exited != 0) name += fmt::format(" +{} exited", format_count(group.exited));
  return name;
}

void MachineTable::add_stacks(TableText& text, const std::vector<heap::Group>& groups, Rank rank,
                              std::size_t most_frames) {
  std::size_t shown = 0;
  std::size_t holding = 0;
  for (const heap::Group& group : groups) {
    for (const heap::ProcessSnapshot* member : group.members) holding += member->live_objects != 0;
    if (shown == kProcessesWithStacks || group.members.empty()) continue;
    // Of a group the process that holds most.
    const heap::ProcessSnapshot& process = *group.members.front();
    const Ranking ranking = view_.rank(process, rank, kStacksEach);
    if (ranking.eligible == 0) continue;
    ++shown;
    text.line("");
    text.parts(
        {describe(process), bytes_in_blocks(ranking.eligible_bytes, ranking.eligible_objects, {process.estimated, 0}),
         ranking.shown.empty() ? counted(ranking.eligible, "stack") + ", none passes the filters"
                               : heading_of(ranking, rank)},
        Tone::kTitle);
    sites_.add(text, {ranking, rank, process.estimated, most_frames});
  }
  if (shown == 0 && rank == Rank::kLeaked) text.line("  none");
  if (holding <= shown) return;
  text.line("");
  text.line(
      fmt::format("(stacks of {} more that hold memory: --pid PID, or -f ndjson)", counted_processes(holding - shown)),
      Tone::kFaint);
}

}  // namespace tracer::report
