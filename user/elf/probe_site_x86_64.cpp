// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>

#include "elf/instruction.h"
#include "elf/probe_site.h"

namespace tracer::elf {
namespace {

// An allocator's first branch or push comes within a few instructions.
constexpr int kMostSteps = 16;

/// Registers that a probe reads: the arguments, the stack pointer, and rbp, from which stacks are walked.
bool is_watched(ZydisRegister reg, unsigned arguments) {
  switch (whole(reg)) {
    case ZYDIS_REGISTER_RSP:
    case ZYDIS_REGISTER_RBP:
      return true;
    case ZYDIS_REGISTER_RDI:
      return arguments >= 1;
    case ZYDIS_REGISTER_RSI:
      return arguments >= 2;
    case ZYDIS_REGISTER_RDX:
      return arguments >= 3;
    case ZYDIS_REGISTER_RCX:
      return arguments >= 4;
    default:
      return false;
  }
}

/// Whether a probe behind this instruction would still see the call as it was made.
bool keeps_the_call(const Instruction& instruction, unsigned arguments) {
  return is_plain(instruction) && std::ranges::none_of(instruction.operands(), [=](const ZydisDecodedOperand& operand) {
           if ((operand.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) == 0) return false;
           // Any memory may be the stack.
           if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY) return true;
           return operand.type == ZYDIS_OPERAND_TYPE_REGISTER && is_watched(operand.reg.value, arguments);
         });
}

/// Whether the code jumps back behind its entry, to `site` or to what runs into it: a call would then pass `site`
/// twice. A jump to the entry itself is a call anew, wherever the probe is. Bytes that are no instruction hide the ones
/// behind them, so they count as a yes; an instruction cut off by the end of `code` does not.
bool is_passed_again(const Decoder& decoder, Code code, std::uint64_t site) {
  Instruction instruction;
  for (std::uint64_t at = 0; at < code.size(); at += instruction.info.length) {
    const ZyanStatus status = decoder.decode(code.subspan(at), &instruction);
    if (!ZYAN_SUCCESS(status)) return status != ZYDIS_STATUS_NO_MORE_DATA;
    const std::optional<std::uint64_t> target = target_of(instruction, at);
    if (target && *target > 0 && *target <= site) return true;
  }
  return false;
}

}  // namespace

ProbeSite select_probe_site(Code code, unsigned arguments) {
  static const Decoder kDecoder;
  std::uint64_t at = 0;
  Instruction instruction;
  for (int step = 0; step < kMostSteps && at < code.size(); ++step) {
    if (!ZYAN_SUCCESS(kDecoder.decode(code.subspan(at), &instruction))) break;
    if (is_emulated(code.subspan(at, instruction.info.length))) {
      if (at != 0 && is_passed_again(kDecoder, code, at)) break;
      return {static_cast<std::uint32_t>(at), true};
    }
    if (!keeps_the_call(instruction, arguments)) break;
    at += instruction.info.length;
  }
  return {0, false};
}

}  // namespace tracer::elf
