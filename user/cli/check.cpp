// SPDX-License-Identifier: Apache-2.0
#include "cli/check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>
#include <set>
#include <tuple>

#include "base/log.h"
#include "kernel/features.h"
#include "proc/maps.h"
#include "session/session.h"
#include "tracing/catalogue.h"
#include "tracing/probe_plan.h"

namespace tracer::cli {
namespace {

void print_plan(const UniqueFd& file, const std::string& path) {
  const Result<elf::ElfImage> image = elf::ElfImage::read(file.get(), tracing::wanted_names());
  if (!image) return;
  const std::vector<tracing::PlannedProbe> plan = tracing::plan_probes(*image, file, path);
  if (plan.empty()) return;
  fmt::print("  {}\n", path);
  for (const tracing::PlannedProbe& probe : plan) {
    fmt::print("    {:<32} entry {:#x} + {:<3} {}\n", fmt::join(probe.names, ", "), probe.address, probe.site_offset,
               probe.emulated ? "emulated by the kernel" : "single-stepped: about 30 times slower on virtual machines");
  }
}

bool check_process(pid_t pid) {
  if (Result<void> fit = session::check_target(pid); !fit) {
    log::error(fit.error());
    return false;
  }
  Result<std::vector<proc::Mapping>> mappings = proc::read_maps(pid);
  if (!mappings) {
    log::error(mappings.error());
    return false;
  }
  fmt::print("\nprocess {}: functions that would get a probe\n", pid);
  std::set<std::tuple<std::uint32_t, std::uint32_t, std::uint64_t>> printed;
  for (const proc::Mapping& mapping : *mappings) {
    if (!mapping.executable || !mapping.is_file()) continue;
    if (!printed.emplace(mapping.device_major, mapping.device_minor, mapping.inode).second) continue;
    if (Result<UniqueFd> file = proc::open_mapped_file(pid, mapping); file) print_plan(*file, mapping.path);
  }
  return true;
}

}  // namespace

ExitCode run_check(const std::vector<pid_t>& pids) {
  bool all_needed = true;
  for (const kernel::CheckItem& item : kernel::check_machine()) {
    const char* mark = item.ok ? "yes" : item.needed ? "NO " : "no ";
    fmt::print("{}  {:<40} {}\n", mark, item.name, item.detail);
    if (!item.ok) fmt::print("       -> {}\n", item.advice);
    all_needed = all_needed && (item.ok || !item.needed);
  }
  fmt::print("\n{}\n", all_needed ? "This machine can trace." : "This machine cannot trace: see each NO above.");
  for (pid_t pid : pids) all_needed = check_process(pid) && all_needed;
  std::fflush(stdout);
  return all_needed ? ExitCode::kOk : ExitCode::kFailure;
}

}  // namespace tracer::cli
