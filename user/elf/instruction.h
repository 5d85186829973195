// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Zydis/Zydis.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>

namespace tracer::elf {

using Code = std::span<const std::uint8_t>;

/// One decoded x86-64 instruction.
struct Instruction {
  ZydisDecodedInstruction info;
  std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> all_operands;

  /// The hidden ones too: that `pop` writes rsp is nowhere in its text.
  std::span<const ZydisDecodedOperand> operands() const { return std::span(all_operands).first(info.operand_count); }
  bool is(ZydisMnemonic mnemonic) const { return info.mnemonic == mnemonic; }
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

/// Whether the kernel emulates the instruction `bytes` at a breakpoint, rather than single-step it.
bool is_emulated(Code bytes);

/// Whether execution goes on behind the instruction and it does nothing but compute.
bool is_plain(const Instruction& instruction);

/// Where a relative jump or call at `at` leads.
std::optional<std::uint64_t> target_of(const Instruction& instruction, std::uint64_t at);

/// The address of the pointer that an indirect jump or call at `at` goes through, if it is told relative to the
/// instruction: an entry of the global offset table.
std::optional<std::uint64_t> slot_of(const Instruction& instruction, std::uint64_t at);

/// The 64-bit register that a register is part of: rax for al.
inline ZydisRegister whole(ZydisRegister reg) {
  return ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);
}

}  // namespace tracer::elf
