// SPDX-License-Identifier: Apache-2.0
#include "tracing/probe_plan.h"

#include <algorithm>

#include "base/log.h"
#include "elf/probe_site.h"

namespace tracer::tracing {
namespace {

// Code read of a function whose size the symbol table does not tell.
constexpr std::size_t kUnknownSize = 512;
// More of a function than this is not looked through for jumps back to the site.
constexpr std::size_t kLongestFunction = 64 * 1024;

elf::ProbeSite choose_site(const UniqueFd& file, const elf::FunctionSymbol& symbol, std::uint64_t file_offset) {
  const std::size_t size =
      symbol.size_bytes == 0 ? kUnknownSize : std::min<std::size_t>(symbol.size_bytes, kLongestFunction);
  const Result<std::vector<std::uint8_t>> code = elf::read_bytes(file.get(), file_offset, size);
  if (!code) return {};
  return elf::select_probe_site(*code);
}

}  // namespace

std::vector<PlannedProbe> plan_probes(const elf::ElfImage& image, const UniqueFd& file, const std::string& path) {
  std::vector<PlannedProbe> plan;
  if (image.machine() != elf::Machine::kX86_64) return plan;
  for (const elf::FunctionSymbol& symbol : image.functions()) {
    const Function* function = find_function(symbol.name);
    if (function == nullptr) continue;
    const auto same = std::ranges::find(plan, symbol.address, &PlannedProbe::address);
    if (same != plan.end()) {
      same->names.push_back(symbol.name);
      continue;
    }
    const std::optional<std::uint64_t> entry = image.offset_of_address(symbol.address);
    if (!entry) continue;
    const elf::ProbeSite site = choose_site(file, symbol, *entry);
    plan.push_back({function, {symbol.name}, symbol.address, *entry + site.offset, site.offset, site.emulated});
    log::debug("{}: {} at {:#x}+{}{}", path, symbol.name, symbol.address, site.offset,
               site.emulated ? "" : " (single-stepped)");
  }
  return plan;
}

}  // namespace tracer::tracing
