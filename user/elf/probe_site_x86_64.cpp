// SPDX-License-Identifier: Apache-2.0
#include <Zydis/Zydis.h>

#include <algorithm>
#include <array>
#include <optional>

#include "elf/probe_site.h"

namespace tracer::elf {
namespace {

using Code = std::span<const std::uint8_t>;

// An allocator's first branch or push comes within a few instructions.
constexpr int kMostSteps = 16;

struct Instruction {
  ZydisDecodedInstruction info;
  std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> all_operands;

  /// The hidden ones too: that `pop` writes rsp is nowhere in its text.
  std::span<const ZydisDecodedOperand> operands() const { return std::span(all_operands).first(info.operand_count); }
};

class Decoder {
 public:
  Decoder() { ZydisDecoderInit(&decoder_, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64); }

  ZyanStatus decode(Code code, Instruction* out) const {
    return ZydisDecoderDecodeFull(&decoder_, code.data(), code.size(), &out->info, out->all_operands.data());
  }

 private:
  ZydisDecoder decoder_{};
};

/// What branch_setup_xol_ops() and push_setup_xol_ops() take on every kernel since 6.1, plain encodings only: with a
/// prefix some kernels single-step, and some refuse the probe. Longer nops are emulated since 6.16 only.
bool is_emulated(Code bytes) {
  const std::uint8_t first = bytes[0];
  const std::uint8_t second = bytes.size() > 1 ? bytes[1] : 0;
  const auto is_push = [](std::uint8_t opcode) { return opcode >= 0x50 && opcode <= 0x57; };
  if (first == 0x90 || is_push(first)) return true;
  if (first == 0x41) return is_push(second);
  if (first == 0xe8 || first == 0xe9 || first == 0xeb) return true;
  if (first >= 0x70 && first <= 0x7f) return true;
  return first == 0x0f && second >= 0x80 && second <= 0x8f;
}

/// Whether execution goes on behind the instruction and does nothing but compute. A list of what may be passed over,
/// not of what may not: jumps, calls, returns, traps and system calls have many encodings.
bool is_plain(const Instruction& instruction) {
  switch (instruction.info.meta.category) {
    case ZYDIS_CATEGORY_BINARY:
    case ZYDIS_CATEGORY_BITBYTE:
    case ZYDIS_CATEGORY_CMOV:
    case ZYDIS_CATEGORY_CONVERT:
    case ZYDIS_CATEGORY_DATAXFER:
    case ZYDIS_CATEGORY_LOGICAL:
    case ZYDIS_CATEGORY_NOP:
    case ZYDIS_CATEGORY_ROTATE:
    case ZYDIS_CATEGORY_SETCC:
    case ZYDIS_CATEGORY_SHIFT:
    case ZYDIS_CATEGORY_WIDENOP:
      return true;
    default:
      return instruction.info.mnemonic == ZYDIS_MNEMONIC_ENDBR64 || instruction.info.mnemonic == ZYDIS_MNEMONIC_LEA;
  }
}

/// Registers that a probe reads: the arguments, the stack pointer, and rbp, from which stacks are walked.
bool is_watched(ZydisRegister reg) {
  switch (ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg)) {
    case ZYDIS_REGISTER_RDI:
    case ZYDIS_REGISTER_RSI:
    case ZYDIS_REGISTER_RDX:
    case ZYDIS_REGISTER_RSP:
    case ZYDIS_REGISTER_RBP:
      return true;
    default:
      return false;
  }
}

/// Whether a probe behind this instruction would still see the call as it was made.
bool keeps_the_call(const Instruction& instruction) {
  return is_plain(instruction) && std::ranges::none_of(instruction.operands(), [](const ZydisDecodedOperand& operand) {
           if ((operand.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) == 0) return false;
           // Any memory may be the stack.
           if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY) return true;
           return operand.type == ZYDIS_OPERAND_TYPE_REGISTER && is_watched(operand.reg.value);
         });
}

/// Where a relative jump or call at `at` leads.
std::optional<std::uint64_t> target_of(const Instruction& instruction, std::uint64_t at) {
  for (const ZydisDecodedOperand& operand : instruction.operands()) {
    ZyanU64 target = 0;
    if (operand.type == ZYDIS_OPERAND_TYPE_IMMEDIATE && operand.imm.is_relative != 0 &&
        ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&instruction.info, &operand, at, &target)))
      return target;
  }
  return std::nullopt;
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

ProbeSite select_probe_site(Code code) {
  static const Decoder kDecoder;
  std::uint64_t at = 0;
  Instruction instruction;
  for (int step = 0; step < kMostSteps && at < code.size(); ++step) {
    if (!ZYAN_SUCCESS(kDecoder.decode(code.subspan(at), &instruction))) break;
    if (is_emulated(code.subspan(at, instruction.info.length))) {
      if (at != 0 && is_passed_again(kDecoder, code, at)) break;
      return {static_cast<std::uint32_t>(at), true};
    }
    if (!keeps_the_call(instruction)) break;
    at += instruction.info.length;
  }
  return {0, false};
}

}  // namespace tracer::elf
