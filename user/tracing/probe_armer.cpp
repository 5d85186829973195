// SPDX-License-Identifier: Apache-2.0
#include "tracing/probe_armer.h"

#include <algorithm>

#include "base/log.h"

namespace tracer::tracing {
namespace {

constexpr pid_t kAnyProcess = -1;

struct ProgramPoints {
  kernel::Program program;
  std::vector<kernel::ProbePoint> points;
};

/// The return probes come first: an entry that is seen must not miss its return.
std::vector<ProgramPoints> points_by_program(const std::vector<PlannedProbe>& plan) {
  std::vector<ProgramPoints> groups{
      {kernel::Program::kHeapReturn, {}}, {kernel::Program::kHeapEntry, {}}, {kernel::Program::kLibraryEntry, {}}};
  for (const PlannedProbe& probe : plan) {
    const kernel::ProbePoint point{probe.file_offset, probe.function->cookie()};
    if (!probe.function->is_heap()) {
      groups[2].points.push_back(point);
      continue;
    }
    groups[1].points.push_back(point);
    if (probe.function->needs_return()) groups[0].points.push_back(point);
  }
  std::erase_if(groups, [](const ProgramPoints& group) { return group.points.empty(); });
  return groups;
}

}  // namespace

Result<ProbeArmer::Links> ProbeArmer::attach(const library::Library& library, const std::vector<PlannedProbe>& plan,
                                             pid_t pid) {
  Links links;
  for (const ProgramPoints& group : points_by_program(plan)) {
    Result<std::unique_ptr<kernel::ProbeLink>> link =
        attacher_->attach(group.program, library.file().get(), group.points, pid);
    if (!link) return std::move(link).error().in_context(library.path());
    links.push_back(std::move(*link));
  }
  return links;
}

Result<void> ProbeArmer::arm(library::Library& library, pid_t pid) {
  const pid_t key = scope_ == Scope::kAllProcesses ? kAnyProcess : pid;
  Armed& armed = armed_[library.module_id()];
  if (armed.links.contains(key)) return {};
  if (armed.plan.empty()) armed.plan = plan_probes(library);
  if (armed.plan.empty()) {
    armed_.erase(library.module_id());
    return {};
  }
  Result<Links> links = attach(library, armed.plan, key);
  if (!links) return std::move(links).error();
  armed.links[key] = std::move(*links);
  if (library.state() != library::State::kArmed) library.advance(library::State::kArmed);
  log::verbose("armed {} ({} functions{})", library.path(), armed.plan.size(),
               key == kAnyProcess ? ", for all processes, filtered in the kernel" : "");
  return {};
}

void ProbeArmer::release(library::Library& library, pid_t pid) {
  const auto found = armed_.find(library.module_id());
  if (found == armed_.end()) return;
  auto& links = found->second.links;
  const auto entry = links.find(scope_ == Scope::kAllProcesses ? kAnyProcess : pid);
  // The link for all processes stays while any traced process maps the file.
  if (entry == links.end() || (scope_ == Scope::kAllProcesses && library.live_mappings > 0)) return;
  Links detached = std::move(entry->second);
  links.erase(entry);
  kernel::detach_all(std::move(detached));
  if (!links.empty()) return;
  library.advance(library::State::kDisarmed);
  armed_.erase(found);
}

std::vector<std::unique_ptr<kernel::ProbeLink>> ProbeArmer::disarm_all(
    const std::vector<std::unique_ptr<library::Library>>& libraries) {
  Links all;
  for (auto& [module, armed] : armed_) {
    std::size_t before = all.size();
    for (auto& [pid, links] : armed.links) std::ranges::move(links, std::back_inserter(all));
    armed.links.clear();
    if (all.size() > before) libraries[module]->advance(library::State::kDisarmed);
  }
  return all;
}

const std::vector<PlannedProbe>& ProbeArmer::plan(const library::Library& library) const {
  static const std::vector<PlannedProbe> kNothing;
  const auto found = armed_.find(library.module_id());
  return found == armed_.end() ? kNothing : found->second.plan;
}

std::vector<std::string> ProbeArmer::functions(const library::Library& library) const {
  std::vector<std::string> names;
  for (const PlannedProbe& probe : plan(library)) names.insert(names.end(), probe.names.begin(), probe.names.end());
  return names;
}

bool ProbeArmer::has_heap_functions(const library::Library& library) const {
  return std::ranges::any_of(plan(library), [](const PlannedProbe& probe) { return probe.function->is_heap(); });
}

}  // namespace tracer::tracing
