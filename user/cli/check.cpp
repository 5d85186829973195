// SPDX-License-Identifier: Apache-2.0
#include "cli/check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "base/log.h"
#include "kernel/features.h"
#include "proc/maps.h"
#include "session/session.h"
#include "tracing/catalogue.h"
#include "tracing/probe_plan.h"

namespace tracer::cli {
namespace {

constexpr const char* kEmulated = "emulated by the kernel";
constexpr const char* kStepped = "single-stepped: about 30 times slower on virtual machines";

/// "3 exits, 2 emulated: +0x6e, +0xb0, 0xaddff".
std::string describe_exits(const tracing::PlannedProbe& probe) {
  std::vector<std::string> places;
  std::size_t emulated = 0;
  for (const tracing::PlannedProbe::Exit& exit : probe.exits) {
    places.push_back(fmt::format("{:#x}", exit.exit.address));
    emulated += exit.exit.emulated ? 1 : 0;
  }
  return fmt::format("{} exits, {} emulated: {}", places.size(), emulated, fmt::join(places, ", "));
}

void print_probe(const tracing::PlannedProbe& probe) {
  fmt::print("    {:<32} entry {:#x} + {:<3} {}\n", fmt::format("{}", fmt::join(probe.names, ", ")), probe.address,
             probe.site_offset, probe.emulated ? kEmulated : kStepped);
  if (!probe.exits.empty()) fmt::print("    {:<32} {}\n", "", describe_exits(probe));
}

/// A line for each reason.
void print_left_out(const std::vector<tracing::LeftOut>& left_out) {
  std::map<std::string, std::vector<std::string>> names;
  for (const tracing::LeftOut& left : left_out)
    names[(left.is_counted ? "no probe needed: " : "NOT traced: ") + left.reason].push_back(left.name);
  for (const auto& [reason, functions] : names) fmt::print("    {}: {}\n", reason, fmt::join(functions, ", "));
}

/// False when the file has no function of the catalogue, neither to be traced nor to be left out.
bool print_plan(const UniqueFd& file, const std::string& path, const tracing::Catalogue& catalogue,
                bool* has_allocator) {
  const Result<elf::ElfImage> image = elf::ElfImage::read(file.get(), catalogue.wanted_names());
  if (!image) return false;
  const tracing::ProbePlan plan = tracing::plan_probes(*image, file, path, catalogue);
  if (plan.probes.empty() && plan.left_out.empty()) return false;
  fmt::print("  {}\n", path);
  for (const tracing::PlannedProbe& probe : plan.probes) print_probe(probe);
  print_left_out(plan.left_out);
  *has_allocator = *has_allocator || plan.has_allocator();
  return true;
}

bool check_process(pid_t pid, const tracing::Catalogue& catalogue) {
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
  std::vector<std::string> without;
  bool has_allocator = false;
  for (const proc::Mapping& mapping : *mappings) {
    if (!mapping.executable || !mapping.is_file()) continue;
    if (!printed.emplace(mapping.device_major, mapping.device_minor, mapping.inode).second) continue;
    Result<UniqueFd> file = proc::open_mapped_file(pid, mapping);
    if (!file) continue;
    if (!print_plan(*file, mapping.path, catalogue, &has_allocator)) without.push_back(mapping.path);
  }
  if (!without.empty()) fmt::print("  no allocator functions: {}\n", fmt::join(without, ", "));
  if (!has_allocator) fmt::print("  NO allocator was found: name its functions with --allocator\n");
  return has_allocator;
}

}  // namespace

ExitCode run_check(const session::Config& config) {
  bool all_needed = true;
  for (const kernel::CheckItem& item : kernel::check_machine()) {
    const char* mark = item.ok ? "yes" : item.needed ? "NO " : "no ";
    fmt::print("{}  {:<40} {}\n", mark, item.name, item.detail);
    if (!item.ok) fmt::print("       -> {}\n", item.advice);
    all_needed = all_needed && (item.ok || !item.needed);
  }
  fmt::print("\n{}\n", all_needed ? "This machine can trace." : "This machine cannot trace: see each NO above.");
  const tracing::Catalogue catalogue(config.families, config.own, config.watch_misuse);
  for (pid_t pid : config.pids) all_needed = check_process(pid, catalogue) && all_needed;
  std::fflush(stdout);
  return all_needed ? ExitCode::kOk : ExitCode::kFailure;
}

}  // namespace tracer::cli
