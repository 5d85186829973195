// SPDX-License-Identifier: Apache-2.0
#include "tracing/file_code.h"

#include <algorithm>

#include "unwind/file_bytes.h"
#include "unwind/frame_entries.h"

namespace tracer::tracing {
namespace {

std::vector<elf::CodeRange> read_ranges(const UniqueFd& file) {
  std::vector<elf::CodeRange> ranges;
  const Result<unwind::FileBytes> bytes = unwind::FileBytes::read(file.get());
  if (!bytes) return ranges;
  const Result<unwind::ElfView> view = unwind::ElfView::of(bytes->bytes());
  if (!view) return ranges;
  const std::optional<unwind::FrameSection> section = unwind::find_eh_frame(*view);
  if (!section) return ranges;
  unwind::FrameProgram program(*section);
  unwind::FrameEntries entries(*section, &program);
  unwind::FunctionEntry function;
  while (entries.next(&function)) ranges.push_back({function.start, function.end});
  std::ranges::sort(ranges, {}, &elf::CodeRange::start);
  return ranges;
}

}  // namespace

std::optional<elf::CodeRange> FileCode::range_at(std::uint64_t address) const {
  if (!ranges_) ranges_ = read_ranges(file_);
  const auto behind = std::ranges::upper_bound(*ranges_, address, {}, &elf::CodeRange::start);
  if (behind == ranges_->begin()) return std::nullopt;
  const elf::CodeRange& range = *std::prev(behind);
  return address < range.end ? std::optional(range) : std::nullopt;
}

std::vector<std::uint8_t> FileCode::code_at(std::uint64_t address, std::size_t size_bytes) const {
  const std::optional<std::uint64_t> offset = image_.offset_of_address(address);
  if (!offset) return {};
  Result<std::vector<std::uint8_t>> code = elf::read_bytes(file_.get(), *offset, size_bytes);
  return code ? std::move(*code) : std::vector<std::uint8_t>();
}

const elf::Import* FileCode::import_at(std::uint64_t slot) const {
  if (!imports_) imports_ = elf::read_imports(file_.get());
  const auto found = imports_->find(slot);
  return found == imports_->end() ? nullptr : &found->second;
}

}  // namespace tracer::tracing
