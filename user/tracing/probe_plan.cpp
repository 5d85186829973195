// SPDX-License-Identifier: Apache-2.0
#include "tracing/probe_plan.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "elf/probe_site.h"
#include "tracing/file_code.h"

namespace tracer::tracing {
namespace {

// Code read of a function whose size the symbol table does not tell.
constexpr std::size_t kUnknownSize = 512;
// More of a function than this is not looked through for jumps back to the site.
constexpr std::size_t kLongestFunction = 64 * 1024;

/// Plans the probes of one file.
class Planner {
 public:
  Planner(const elf::ElfImage& image, const UniqueFd& file, const std::string& path, const Catalogue& catalogue)
      : image_(image), path_(path), catalogue_(catalogue), code_(image, file) {}

  ProbePlan run() && {
    for (const elf::FunctionSymbol& symbol : image_.functions()) {
      if (const Function* function = catalogue_.find(symbol.name, path_)) consider(symbol, *function);
    }
    if (lacks_operator_new()) leave_out_operators();
    return std::move(plan_);
  }

 private:
  void consider(const elf::FunctionSymbol& symbol, const Function& function) {
    const auto same = std::ranges::find(plan_.probes, symbol.address, &PlannedProbe::address);
    if (same != plan_.probes.end()) {
      same->names.push_back(symbol.name);
      if (same->kind != function.kind) same->kind = TR_KIND_ANY;
      return;
    }
    const auto left_out = std::ranges::find(plan_.left_out, symbol.address, &LeftOut::address);
    if (left_out != plan_.left_out.end()) {
      // By another of its names.
      plan_.left_out.push_back(
          {symbol.name, symbol.address, left_out->reason, left_out->is_counted, function.family == Family::kOwn});
      return;
    }
    const std::optional<std::uint64_t> entry = image_.offset_of_address(symbol.address);
    if (!entry) return;
    if (function.may_be_wrapper() &&
        elf::always_calls_counted(symbol.address, code_, is_counted_, function.call == TR_CALL_FREE)) {
      if (catalogue_.marks_operators() && function.kind != TR_KIND_C) return mark(symbol, function, *entry);
      leave_out(symbol, function, "counted in the function that it calls", true);
      return;
    }
    elf::ProbeSite site = choose_site(symbol, function);
    PlannedProbe probe{&function, {symbol.name}, symbol.address, *entry + site.offset, site.offset, site.emulated, {}};
    probe.kind = function.kind;
    if (Result<void> found = function.ends_at_exits() ? add_exits(probe) : Result<void>(); !found) {
      leave_out(symbol, function, found.error().message(), false);
      return;
    }
    log::debug("{}: {} at {:#x}+{}{}, {} exits", path_, symbol.name, symbol.address, probe.site_offset,
               probe.emulated ? "" : " (single-stepped)", probe.exits.size());
    plan_.probes.push_back(std::move(probe));
  }

  void mark(const elf::FunctionSymbol& symbol, const Function& function, std::uint64_t entry) {
    const elf::ProbeSite site = choose_site(symbol, function);
    PlannedProbe probe{&function, {symbol.name}, symbol.address, entry + site.offset, site.offset, site.emulated, {}};
    probe.is_mark = true;
    probe.kind = function.kind;
    plan_.probes.push_back(std::move(probe));
  }

  elf::ProbeSite choose_site(const elf::FunctionSymbol& symbol, const Function& function) const {
    const std::size_t size =
        symbol.size_bytes == 0 ? kUnknownSize : std::min<std::size_t>(symbol.size_bytes, kLongestFunction);
    const unsigned arguments = std::max({function.size_arg, function.count_arg, function.pointer_arg});
    return elf::select_probe_site(code_.code_at(symbol.address, size), arguments);
  }

  Result<void> add_exits(PlannedProbe& probe) {
    Result<std::vector<elf::FunctionExit>> exits = elf::find_exits(probe.address, code_, is_counted_);
    if (!exits) return std::move(exits).error();
    for (const elf::FunctionExit& exit : *exits) {
      const std::optional<std::uint64_t> offset = image_.offset_of_address(exit.address);
      if (!offset) return Error(ErrorKind::kUnsupported, "it ends outside of the file's code");
      probe.exits.push_back({*offset, exit});
    }
    // Two probes at one place run in no certain order.
    const auto at_the_site = [&](const PlannedProbe::Exit& exit) { return exit.file_offset == probe.file_offset; };
    if (std::ranges::any_of(probe.exits, at_the_site)) {
      probe.file_offset -= probe.site_offset;
      probe.site_offset = 0;
      probe.emulated = false;
      if (std::ranges::any_of(probe.exits, at_the_site))
        return Error(ErrorKind::kUnsupported, "its first instruction is its last");
    }
    return {};
  }

  void leave_out(const elf::FunctionSymbol& symbol, const Function& function, std::string reason, bool is_counted) {
    log::debug("{}: {} gets no probe: {}", path_, symbol.name, reason);
    plan_.left_out.push_back(
        {symbol.name, symbol.address, std::move(reason), is_counted, function.family == Family::kOwn});
  }

  bool lacks_operator_new() const {
    return std::ranges::any_of(plan_.left_out, [&](const LeftOut& left) {
      const Function* function = catalogue_.find(left.name, path_);
      return !left.is_counted && function->family == Family::kCxx && function->needs_result();
    });
  }

  /// Frees of blocks whose allocation cannot be seen would only be unknown ones.
  void leave_out_operators() {
    for (const PlannedProbe& probe : plan_.probes) {
      if (probe.function->family != Family::kCxx || !probe.function->is_allocator()) continue;
      for (const std::string& name : probe.names)
        plan_.left_out.push_back(
            {name, probe.address, "an operator new of the same file cannot be counted", false, false});
    }
    std::erase_if(plan_.probes, [](const PlannedProbe& probe) {
      return probe.function->family == Family::kCxx && probe.function->is_allocator();
    });
  }

  bool is_allocator(std::string_view name) const {
    const Function* function = catalogue_.find(name, path_);
    return function != nullptr && function->is_allocator();
  }

  const elf::ElfImage& image_;
  const std::string& path_;
  const Catalogue& catalogue_;
  const FileCode code_;
  const elf::IsCounted is_counted_ = [this](const elf::Destination& destination) {
    if (!destination.name.empty()) return is_allocator(destination.name);
    return std::ranges::any_of(image_.functions(), [&](const elf::FunctionSymbol& symbol) {
      return symbol.address == destination.address && is_allocator(symbol.name);
    });
  };
  ProbePlan plan_;
};

}  // namespace

std::uint64_t PlannedProbe::Exit::cookie() const {
  return TR_EXIT(exit.result_register, exit.condition.value_or(0), exit.condition.has_value(), exit.stack_bytes);
}

bool ProbePlan::has_allocator() const {
  return std::ranges::any_of(
      probes, [](const PlannedProbe& probe) { return !probe.is_mark && probe.function->is_allocator(); });
}

ProbePlan plan_probes(const elf::ElfImage& image, const UniqueFd& file, const std::string& path,
                      const Catalogue& catalogue) {
  if (image.machine() != elf::Machine::kX86_64) return {};
  return Planner(image, file, path, catalogue).run();
}

}  // namespace tracer::tracing
