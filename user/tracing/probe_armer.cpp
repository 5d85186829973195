// SPDX-License-Identifier: Apache-2.0
#include "tracing/probe_armer.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/log.h"

namespace tracer::tracing {
namespace {

constexpr pid_t kAnyProcess = -1;

struct ProgramPoints {
  kernel::Program program;
  std::vector<kernel::ProbePoint> points;
};

std::vector<ProgramPoints> loader_points(const std::vector<PlannedProbe>& plan) {
  ProgramPoints group{kernel::Program::kLibraryEntry, {}};
  for (const PlannedProbe& probe : plan) {
    if (!probe.function->is_heap()) group.points.push_back({probe.file_offset, probe.cookie()});
  }
  return {std::move(group)};
}

/// What sees calls end comes first: an entry that is seen must not miss it.
std::vector<ProgramPoints> heap_points(const std::vector<PlannedProbe>& plan) {
  ProgramPoints exits{kernel::Program::kHeapExit, {}};
  ProgramPoints returns{kernel::Program::kHeapReturn, {}};
  ProgramPoints entries{kernel::Program::kHeapEntry, {}};
  for (const PlannedProbe& probe : plan) {
    if (!probe.function->is_heap()) continue;
    const kernel::ProbePoint point{probe.file_offset, probe.cookie()};
    entries.points.push_back(point);
    if (probe.needs_return()) returns.points.push_back(point);
    // Functions may end in the same one.
    for (const PlannedProbe::Exit& exit : probe.exits) {
      const kernel::ProbePoint out{exit.file_offset, exit.cookie()};
      if (std::ranges::find(exits.points, out) == exits.points.end()) exits.points.push_back(out);
    }
  }
  return {std::move(exits), std::move(returns), std::move(entries)};
}

void tell_left_out(const std::string& path, const ProbePlan& plan) {
  for (const LeftOut& left : plan.left_out) {
    if (left.is_counted) continue;
    if (left.is_own)
      log::info("{} of {} is not traced: {}", left.name, path, left.reason);
    else
      log::verbose("{} of {} is not traced: {}", left.name, path, left.reason);
  }
}

/// A link, and what keeps writers from the file for as long as it is attached.
class GuardedLink : public kernel::ProbeLink {
 public:
  GuardedLink(std::shared_ptr<library::WriteGuard> guard, std::unique_ptr<kernel::ProbeLink> link)
      : guard_(std::move(guard)), link_(std::move(link)) {}

 private:
  // Members go in the reverse order: first the link.
  std::shared_ptr<library::WriteGuard> guard_;
  std::unique_ptr<kernel::ProbeLink> link_;
};

void append(ProbeArmer::Links& to, ProbeArmer::Links& from) {
  std::ranges::move(from, std::back_inserter(to));
  from.clear();
}

}  // namespace

pid_t ProbeArmer::key_of(pid_t pid) const { return scope_ == Scope::kAllProcesses ? kAnyProcess : pid; }

/// True when it attached something.
Result<bool> ProbeArmer::attach(Armed& armed, bool heap, pid_t pid, Links* links) {
  std::shared_ptr<library::WriteGuard> guard = armed.guard.lock();
  if (!guard) {
    if (std::optional<library::WriteGuard> taken = library::WriteGuard::take(armed.library->file())) {
      guard = std::make_shared<library::WriteGuard>(std::move(*taken));
      armed.guard = guard;
    } else {
      log::verbose("{} is not guarded against being overwritten in place", armed.library->path());
    }
  }
  for (const ProgramPoints& group : heap ? heap_points(armed.plan.probes) : loader_points(armed.plan.probes)) {
    if (group.points.empty()) continue;
    Result<std::unique_ptr<kernel::ProbeLink>> link =
        attacher_->attach(group.program, armed.library->file().get(), group.points, pid);
    if (!link) {
      links->clear();
      return std::move(link).error().in_context(armed.library->path());
    }
    links->push_back(std::make_unique<GuardedLink>(guard, std::move(*link)));
  }
  return !links->empty();
}

/// Brings the library's state in line with what is attached.
void ProbeArmer::settle(const Armed& armed) {
  const bool heap =
      std::ranges::any_of(armed.plan.probes, [](const PlannedProbe& probe) { return probe.function->is_heap(); });
  const bool is_armed = std::ranges::any_of(
      armed.probes, [&](const auto& entry) { return !(heap ? entry.second.heap : entry.second.loader).empty(); });
  const library::State state = is_armed ? library::State::kArmed : library::State::kDisarmed;
  if (armed.library->state() != state) armed.library->advance(state);
}

Result<bool> ProbeArmer::arm(library::Library& library, pid_t pid) {
  if (closed_) return false;
  auto [entry, is_new] = armed_.try_emplace(library.module_id());
  Armed& armed = entry->second;
  if (is_new) {
    armed.library = &library;
    if (library.image()) armed.plan = plan_probes(*library.image(), library.file(), library.path(), catalogue_);
    tell_left_out(library.path(), armed.plan);
  }
  if (armed.plan.empty()) {
    armed_.erase(entry);
    return false;
  }
  const auto [probes, is_first] = armed.probes.try_emplace(key_of(pid));
  if (!is_first) return false;
  Result<bool> attached = attach(armed, false, probes->first, &probes->second.loader);
  if (attached && heap_on_) {
    Result<bool> heap = attach(armed, true, probes->first, &probes->second.heap);
    attached = heap ? Result<bool>(*attached || *heap) : std::move(heap);
  }
  if (!attached) {
    armed.probes.erase(probes);
    if (armed.probes.empty()) armed_.erase(entry);
    return attached;
  }
  settle(armed);
  log::verbose("{} {} ({} functions{})", library::state_name(library.state()), library.path(), armed.plan.probes.size(),
               probes->first == kAnyProcess ? ", for all processes, filtered in the kernel" : "");
  return attached;
}

ProbeArmer::Links ProbeArmer::release(library::Library& library, pid_t pid) {
  Links released;
  const auto found = armed_.find(library.module_id());
  if (found == armed_.end()) return released;
  Armed& armed = found->second;
  const auto entry = armed.probes.find(key_of(pid));
  // The link for all processes stays while any traced process maps the file.
  if (entry == armed.probes.end() || (scope_ == Scope::kAllProcesses && library.live_mappings > 0)) return released;
  append(released, entry->second.heap);
  append(released, entry->second.loader);
  armed.probes.erase(entry);
  if (!closed_) settle(armed);
  if (armed.probes.empty() && !closed_) armed_.erase(found);
  return released;
}

bool ProbeArmer::is_armed_for(const library::Library& library, pid_t pid) const {
  const auto found = armed_.find(library.module_id());
  return found != armed_.end() && found->second.probes.contains(key_of(pid));
}

ProbeArmer::Links ProbeArmer::disarm_heap() {
  heap_on_ = false;
  Links links;
  for (auto& [module, armed] : armed_) {
    for (auto& [pid, probes] : armed.probes) append(links, probes.heap);
    settle(armed);
  }
  return links;
}

Result<void> ProbeArmer::arm_heap() {
  heap_on_ = true;
  Result<void> result;
  for (auto& [module, armed] : armed_) {
    for (auto& [pid, probes] : armed.probes) {
      if (!probes.heap.empty()) continue;
      Result<bool> attached = attach(armed, true, pid, &probes.heap);
      if (!attached && result.ok()) result = std::move(attached).error();
    }
    settle(armed);
  }
  return result;
}

ProbeArmer::Links ProbeArmer::disarm_contested(std::vector<library::Library*>* libraries) {
  Links links;
  for (auto it = armed_.begin(); it != armed_.end();) {
    Armed& armed = it->second;
    const std::shared_ptr<library::WriteGuard> guard = armed.guard.lock();
    if (!guard || !guard->is_contested()) {
      ++it;
      continue;
    }
    for (auto& [pid, probes] : armed.probes) {
      append(links, probes.heap);
      append(links, probes.loader);
    }
    armed.probes.clear();
    settle(armed);
    libraries->push_back(armed.library);
    it = armed_.erase(it);
  }
  return links;
}

ProbeArmer::Links ProbeArmer::disarm_all() {
  Links links = disarm_heap();
  closed_ = true;
  for (auto& [module, armed] : armed_) {
    for (auto& [pid, probes] : armed.probes) append(links, probes.loader);
    settle(armed);
  }
  return links;
}

std::vector<std::string> ProbeArmer::functions(const library::Library& library) const {
  std::vector<std::string> names;
  const auto found = armed_.find(library.module_id());
  if (found == armed_.end()) return names;
  for (const PlannedProbe& probe : found->second.plan.probes)
    names.insert(names.end(), probe.names.begin(), probe.names.end());
  return names;
}

bool ProbeArmer::has_heap_functions(const library::Library& library) const {
  const auto found = armed_.find(library.module_id());
  return found != armed_.end() && found->second.plan.has_allocator();
}

}  // namespace tracer::tracing
