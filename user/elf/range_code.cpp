// SPDX-License-Identifier: Apache-2.0
#include "elf/range_code.h"

#include <fmt/format.h>

#include <algorithm>

namespace tracer::elf {
namespace {

constexpr std::uint64_t kLongestRange = 64 * 1024;

Flow flow_of(const Instruction& instruction, bool is_direct) {
  switch (instruction.info.meta.category) {
    case ZYDIS_CATEGORY_CALL:
      return Flow::kCall;
    case ZYDIS_CATEGORY_COND_BR:
      return Flow::kBranch;
    case ZYDIS_CATEGORY_UNCOND_BR:
      return is_direct ? Flow::kJump : Flow::kIndirectJump;
    case ZYDIS_CATEGORY_RET:
      return Flow::kReturn;
    default:
      break;
  }
  const bool stops =
      instruction.is(ZYDIS_MNEMONIC_UD2) || instruction.is(ZYDIS_MNEMONIC_HLT) || instruction.is(ZYDIS_MNEMONIC_INT3);
  return stops ? Flow::kStop : Flow::kNext;
}

Error not_understood(const std::string& why) { return Error(ErrorKind::kUnsupported, why); }

}  // namespace

std::optional<std::size_t> RangeCode::step_at(std::uint64_t address) const {
  const auto found = std::ranges::lower_bound(steps, address, {}, &Step::address);
  if (found == steps.end() || found->address != address) return std::nullopt;
  return static_cast<std::size_t>(found - steps.begin());
}

Result<RangeCode> decode_range(const CodeMap& map, const CodeRange& range) {
  static const Decoder kDecoder;
  RangeCode read{range, {}, {}};
  if (range.end <= range.start || range.end - range.start > kLongestRange)
    return not_understood(fmt::format("the code at {:#x} is too long", range.start));
  const std::vector<std::uint8_t> bytes = map.code_at(range.start, range.end - range.start);
  const Code code(bytes);
  if (code.size() != range.end - range.start)
    return not_understood(fmt::format("the code at {:#x} is not in the file", range.start));
  for (std::size_t at = 0; at < code.size(); at += read.steps.back().instruction.info.length) {
    Step step;
    step.address = range.start + at;
    if (!ZYAN_SUCCESS(kDecoder.decode(code.subspan(at), &step.instruction)))
      return not_understood(fmt::format("what is at {:#x} is no instruction", step.address));
    const std::optional<std::uint64_t> target = target_of(step.instruction, step.address);
    step.flow = flow_of(step.instruction, target.has_value());
    step.emulated = is_emulated(code.subspan(at, step.instruction.info.length));
    if (target && (step.flow == Flow::kJump || step.flow == Flow::kBranch)) {
      step.target = *target;
      if (read.holds(*target)) read.jumps_to.emplace(*target, read.steps.size());
    }
    read.steps.push_back(std::move(step));
  }
  for (const auto& [target, from] : read.jumps_to) {
    if (!read.step_at(target)) return not_understood(fmt::format("there is no instruction at {:#x}", target));
  }
  return read;
}

}  // namespace tracer::elf
