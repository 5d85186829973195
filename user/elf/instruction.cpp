// SPDX-License-Identifier: Apache-2.0
#include "elf/instruction.h"

namespace tracer::elf {

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

/// A list of what is known to do no more, not of what does: jumps, calls, returns, traps and system calls have many
/// encodings.
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

std::optional<std::uint64_t> target_of(const Instruction& instruction, std::uint64_t at) {
  for (const ZydisDecodedOperand& operand : instruction.operands()) {
    ZyanU64 target = 0;
    if (operand.type == ZYDIS_OPERAND_TYPE_IMMEDIATE && operand.imm.is_relative != 0 &&
        ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&instruction.info, &operand, at, &target)))
      return target;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> slot_of(const Instruction& instruction, std::uint64_t at) {
  for (const ZydisDecodedOperand& operand : instruction.operands()) {
    ZyanU64 slot = 0;
    if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY && operand.mem.base == ZYDIS_REGISTER_RIP &&
        ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&instruction.info, &operand, at, &slot)))
      return slot;
  }
  return std::nullopt;
}

}  // namespace tracer::elf
