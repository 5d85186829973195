// SPDX-License-Identifier: Apache-2.0
#include "symbols/dwarf_lines.h"

#include <dwarf.h>
#include <elfutils/libdwelf.h>

#include <filesystem>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "symbols/dwarf_scopes.h"

namespace tracer::symbols {
namespace {

// libdw joins a file with its directory in the line table, yet leaves that relative to the one of the compilation,
// unless it is the latter itself.
std::string full_path(Dwarf_Die* unit, const char* file) {
  if (file == nullptr) return {};
  std::filesystem::path path(file);
  Dwarf_Attribute attribute;
  const char* base = dwarf_formstring(dwarf_attr(unit, DW_AT_comp_dir, &attribute));
  if (base != nullptr && !std::string_view(file).starts_with(base)) path = base / path;
  return path.lexically_normal();
}

std::uint32_t to_line(Dwarf_Word line) { return line > 0xffffffff ? 0 : static_cast<std::uint32_t>(line); }

void set_source_line(Dwarf_Die* unit, std::uint64_t address, DwarfFrame* frame) {
  Dwarf_Line* row = dwarf_getsrc_die(unit, address);
  if (row == nullptr) return;
  frame->file = full_path(unit, dwarf_linesrc(row, nullptr, nullptr));
  int line = 0;
  if (dwarf_lineno(row, &line) == 0 && line > 0) frame->line = static_cast<std::uint32_t>(line);
}

Dwarf_Word number_of(Dwarf_Die* die, unsigned int name) {
  Dwarf_Attribute attribute;
  Dwarf_Word value = 0;
  if (dwarf_attr(die, name, &attribute) == nullptr || dwarf_formudata(&attribute, &value) != 0) return 0;
  return value;
}

// The files of a call are those of the unit it is in; a unit in a .dwo file has no directory of its own.
void set_call_site(Dwarf_Die* unit, Dwarf_Die* skeleton, Dwarf_Die* call, DwarfFrame* frame) {
  frame->line = to_line(number_of(call, DW_AT_call_line));
  Dwarf_Files* files = nullptr;
  std::size_t count = 0;
  if (dwarf_getsrcfiles(unit, &files, &count) != 0) return;
  const Dwarf_Word index = number_of(call, DW_AT_call_file);
  if (index < count) frame->file = full_path(skeleton, dwarf_filesrc(files, index, nullptr, nullptr));
}

}  // namespace

std::unique_ptr<DwarfLines> DwarfLines::open(Elf* elf, const FindShared& find_shared) {
  Dwarf* dwarf = dwarf_begin_elf(elf, DWARF_C_READ, nullptr);
  if (dwarf == nullptr) return nullptr;
  std::unique_ptr<DwarfLines> lines(new DwarfLines(dwarf));
  lines->open_shared(find_shared);
  lines->read_units();
  return lines->unit_index_.empty() ? nullptr : std::move(lines);
}

void DwarfLines::open_shared(const FindShared& find_shared) {
  const char* name = nullptr;
  const void* id = nullptr;
  const ssize_t id_size = dwelf_dwarf_gnu_debugaltlink(dwarf_.get(), &name, &id);
  if (id_size <= 0 || name == nullptr) return;
  auto file = find_shared(name, to_hex({static_cast<const std::uint8_t*>(id), static_cast<std::size_t>(id_size)}));
  if (!file) return log::debug("{}: {}", name, file.error().message());
  shared_file_.emplace(std::move(file).value());
  shared_.reset(dwarf_begin_elf(shared_file_->handle(), DWARF_C_READ, nullptr));
  if (shared_) dwarf_setalt(dwarf_.get(), shared_.get());
}

void DwarfLines::read_units() {
  Dwarf_CU* unit = nullptr;
  Dwarf_Die die;
  std::uint8_t type = 0;
  while (dwarf_get_units(dwarf_.get(), unit, &unit, nullptr, &type, &die, nullptr) == 0) {
    if (type == DW_UT_compile || type == DW_UT_skeleton) add_unit(die);
  }
  unit_index_.seal();
}

void DwarfLines::add_unit(const Dwarf_Die& die) {
  auto unit = std::make_unique<Unit>();
  unit->lines = die;
  if (add_ranges(&unit->lines, unit.get(), &unit_index_)) units_.push_back(std::move(unit));
}

void DwarfLines::index_functions(Unit* unit) {
  if (unit->indexed) return;
  unit->indexed = true;
  Dwarf_Die split;
  const bool is_split =
      dwarf_cu_info(unit->lines.cu, nullptr, nullptr, nullptr, &split, nullptr, nullptr, nullptr) == 0;
  unit->scopes = is_split && dwarf_tag(&split) == DW_TAG_compile_unit ? split : unit->lines;
  collect_functions(&unit->scopes, &unit->functions);
}

std::vector<DwarfFrame> DwarfLines::frames_in(Unit* unit, std::uint64_t address) {
  index_functions(unit);
  DwarfFrame next;
  set_source_line(&unit->lines, address, &next);
  Dwarf_Die function;
  const bool found = unit->functions.visit(address, [&function](const Dwarf_Die& die) {
    function = die;
    return true;
  });
  if (!found) return next.line != 0 ? std::vector<DwarfFrame>{next} : std::vector<DwarfFrame>();

  std::vector<DwarfFrame> frames;
  std::vector<Dwarf_Die> calls = inlined_calls_at(&function, address);
  for (auto call = calls.rbegin(); call != calls.rend(); ++call) {
    next.function = function_name(&*call);
    frames.push_back(next);
    next = {};
    set_call_site(&unit->scopes, &unit->lines, &*call, &next);
  }
  next.function = function_name(&function);
  frames.push_back(next);
  return frames;
}

std::vector<DwarfFrame> DwarfLines::frames_at(std::uint64_t address) {
  std::vector<DwarfFrame> frames;
  unit_index_.visit(address, [&](Unit* unit) {
    frames = frames_in(unit, address);
    return !frames.empty();
  });
  return frames;
}

}  // namespace tracer::symbols
