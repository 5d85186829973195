// SPDX-License-Identifier: Apache-2.0
#include <Zydis/Zydis.h>

#include <algorithm>
#include <array>
#include <vector>

#include "elf/probe_site.h"

namespace tracer::elf {
namespace {

// An allocator's first branch or push comes within a few instructions.
constexpr int kMostSteps = 16;

struct Instruction {
  ZydisDecodedInstruction info;
  std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operands;
};

class Decoder {
 public:
  Decoder() { ZydisDecoderInit(&decoder_, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64); }

  bool decode(std::span<const std::uint8_t> code, Instruction* out) const {
    return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder_, code.data(), code.size(), &out->info, out->operands.data()));
  }

 private:
  ZydisDecoder decoder_{};
};

bool has_refused_prefix(const Instruction& instruction) {
  return (instruction.info.attributes & (ZYDIS_ATTRIB_HAS_OPERANDSIZE | ZYDIS_ATTRIB_HAS_LOCK)) != 0;
}

/// What branch_setup_xol_ops() and push_setup_xol_ops() take, on every kernel since 6.1: relative jumps and calls, the
/// one-byte nop, and push of a 64-bit register.
bool is_emulated(const Instruction& instruction) {
  if (has_refused_prefix(instruction)) return false;
  const std::uint8_t opcode = instruction.info.opcode;
  if (instruction.info.opcode_map == ZYDIS_OPCODE_MAP_0F) return opcode >= 0x80 && opcode <= 0x8f;
  if (instruction.info.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT) return false;
  if (instruction.info.mnemonic == ZYDIS_MNEMONIC_NOP) return opcode == 0x90 && instruction.info.length == 1;
  return opcode == 0xe8 || opcode == 0xe9 || opcode == 0xeb || (opcode >= 0x70 && opcode <= 0x7f) ||
         (opcode >= 0x50 && opcode <= 0x57);
}

bool is_control_flow(const Instruction& instruction) {
  switch (instruction.info.meta.category) {
    case ZYDIS_CATEGORY_CALL:
    case ZYDIS_CATEGORY_COND_BR:
    case ZYDIS_CATEGORY_INTERRUPT:
    case ZYDIS_CATEGORY_RET:
    case ZYDIS_CATEGORY_SYSCALL:
    case ZYDIS_CATEGORY_SYSRET:
    case ZYDIS_CATEGORY_SYSTEM:
    case ZYDIS_CATEGORY_UNCOND_BR:
      return true;
    default:
      return false;
  }
}

/// Registers that a probe reads: the arguments and the stack pointer. rbp too, from which the stack is walked.
bool is_watched(ZydisRegister reg) {
  switch (ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg)) {
    case ZYDIS_REGISTER_RDI:
    case ZYDIS_REGISTER_RSI:
    case ZYDIS_REGISTER_RDX:
    case ZYDIS_REGISTER_RCX:
    case ZYDIS_REGISTER_R8:
    case ZYDIS_REGISTER_R9:
    case ZYDIS_REGISTER_RSP:
    case ZYDIS_REGISTER_RBP:
      return true;
    default:
      return false;
  }
}

/// Whether a probe behind this instruction would still see the call as it was made.
bool keeps_the_call(const Instruction& instruction) {
  if (is_control_flow(instruction)) return false;
  for (std::size_t i = 0; i < instruction.info.operand_count; ++i) {
    const ZydisDecodedOperand& operand = instruction.operands[i];
    if ((operand.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) == 0) continue;
    // Any memory may be the stack.
    if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY) return false;
    if (operand.type == ZYDIS_OPERAND_TYPE_REGISTER && is_watched(operand.reg.value)) return false;
  }
  return true;
}

/// Whether a relative jump or call inside `code` leads to `offset`. Bytes in the middle that are no instruction hide what
/// follows them, so they count as a yes; an instruction cut off by the end of `code` does not.
bool is_jump_target(const Decoder& decoder, std::span<const std::uint8_t> code, std::uint64_t offset) {
  Instruction instruction;
  for (std::uint64_t at = 0; at < code.size(); at += instruction.info.length) {
    if (!decoder.decode(code.subspan(at), &instruction)) return code.size() - at >= ZYDIS_MAX_INSTRUCTION_LENGTH;
    for (std::size_t i = 0; i < instruction.info.operand_count_visible; ++i) {
      ZyanU64 target = 0;
      const ZydisDecodedOperand& operand = instruction.operands[i];
      if (operand.type == ZYDIS_OPERAND_TYPE_IMMEDIATE && operand.imm.is_relative != 0 &&
          ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&instruction.info, &operand, at, &target)) && target == offset)
        return true;
    }
  }
  return false;
}

}  // namespace

ProbeSite select_probe_site(std::span<const std::uint8_t> code) {
  static const Decoder kDecoder;
  std::uint64_t at = 0;
  for (int step = 0; step < kMostSteps && at < code.size(); ++step) {
    Instruction instruction;
    if (!kDecoder.decode(code.subspan(at), &instruction)) break;
    if (is_emulated(instruction)) {
      if (at != 0 && is_jump_target(kDecoder, code, at)) break;
      return {static_cast<std::uint32_t>(at), true};
    }
    if (!keeps_the_call(instruction)) break;
    at += instruction.info.length;
  }
  return {0, false};
}

}  // namespace tracer::elf
