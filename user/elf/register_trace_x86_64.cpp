// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "elf/register_trace.h"

namespace tracer::elf {
namespace {

// Instructions looked at on all ways to one return instruction.
constexpr int kMostSteps = 256;
constexpr std::uint16_t kMostStackBytes = 4096;
constexpr std::uint16_t kWord = 8;

/// What has to hold in front of an instruction for the result to be the right one at the return.
struct Expected {
  ZydisRegister result = ZYDIS_REGISTER_RAX;
  std::uint16_t stack_bytes = 0;
};

bool writes(const Instruction& instruction, ZydisRegister reg) {
  return std::ranges::any_of(instruction.operands(), [&](const ZydisDecodedOperand& operand) {
    return operand.type == ZYDIS_OPERAND_TYPE_REGISTER && whole(operand.reg.value) == reg &&
           (operand.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
  });
}

/// mov %r11,%rax.
bool is_copy(const Instruction& instruction) {
  const auto operands = instruction.operands();
  return instruction.is(ZYDIS_MNEMONIC_MOV) && operands.size() >= 2 && instruction.info.operand_width == 64 &&
         operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER && operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
         ZydisRegisterGetClass(operands[0].reg.value) == ZYDIS_REGCLASS_GPR64 &&
         ZydisRegisterGetClass(operands[1].reg.value) == ZYDIS_REGCLASS_GPR64;
}

/// How many bytes of stack the instruction gives back; nullopt when it does something else with the stack pointer.
std::optional<std::uint16_t> stack_given_back(const Instruction& instruction) {
  if (!writes(instruction, ZYDIS_REGISTER_RSP)) return std::uint16_t{0};
  const auto operands = instruction.operands();
  if (instruction.is(ZYDIS_MNEMONIC_POP) && operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
      operands[0].reg.value != ZYDIS_REGISTER_RSP && instruction.info.operand_width == 64)
    return kWord;
  if (instruction.is(ZYDIS_MNEMONIC_ADD) && operands[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
      operands[1].imm.value.u <= kMostStackBytes)
    return static_cast<std::uint16_t>(operands[1].imm.value.u);
  return std::nullopt;
}

bool only_computes(const Step& step) {
  return step.flow == Flow::kNext &&
         (is_plain(step.instruction) || step.instruction.info.meta.category == ZYDIS_CATEGORY_POP);
}

/// The condition in the opcode of a jump: 70+cc, or 0f 80+cc.
std::uint8_t condition_of(const Instruction& branch) { return branch.info.opcode & 0xf; }

class Backwards {
 public:
  explicit Backwards(const RangeCode& code) : code_(code) {}

  /// Whether every way to the instruction passes one of `exits`, which it adds to.
  bool cover(std::size_t index, Expected expected) {
    if (++steps_ > kMostSteps || index == 0) return false;
    const auto [first, last] = code_.jumps_to.equal_range(code_.steps[index].address);
    const Step& before = code_.steps[index - 1];
    const bool falls_through = before.flow != Flow::kJump && before.flow != Flow::kIndirectJump &&
                               before.flow != Flow::kReturn && before.flow != Flow::kStop;
    // Nobody seems to come here: an exception's handler, or the target of a jump that is not understood.
    if (first == last && !falls_through) return false;
    for (auto jump = first; jump != last; ++jump) {
      if (!end_at(code_.steps[jump->second], true, expected)) return false;
    }
    if (!falls_through) return true;
    return before.flow == Flow::kBranch ? end_at(before, false, expected) : pass(index - 1, expected);
  }

  std::vector<FunctionExit> take() { return std::move(exits_); }

 private:
  /// Back over an instruction that does not jump.
  bool pass(std::size_t index, Expected expected) {
    const Step& step = code_.steps[index];
    const std::optional<std::uint16_t> given_back = stack_given_back(step.instruction);
    if (!only_computes(step) || !given_back) return false;
    if (writes(step.instruction, expected.result)) {
      if (!is_copy(step.instruction)) return false;
      expected.result = step.instruction.operands()[1].reg.value;
      if (expected.result == ZYDIS_REGISTER_RSP) return false;
    }
    expected.stack_bytes = static_cast<std::uint16_t>(expected.stack_bytes + *given_back);
    return expected.stack_bytes <= kMostStackBytes && cover(index, expected);
  }

  bool end_at(const Step& jump, bool taken, const Expected& expected) {
    if (!jump.emulated) return false;
    FunctionExit exit{jump.address, 0, std::nullopt, expected.stack_bytes, true};
    exit.result_register = static_cast<std::uint8_t>(ZydisRegisterGetId(expected.result));
    if (jump.flow == Flow::kBranch)
      exit.condition = static_cast<std::uint8_t>(condition_of(jump.instruction) ^ (taken ? 0 : 1));
    exits_.push_back(exit);
    return true;
  }

  const RangeCode& code_;
  int steps_ = 0;
  std::vector<FunctionExit> exits_;
};

/// A jump through a pointer may lead anywhere in the function.
bool is_entered_by_jumps_alone(const RangeCode& code) {
  return std::ranges::none_of(code.steps, [](const Step& step) { return step.flow == Flow::kIndirectJump; });
}

}  // namespace

std::vector<FunctionExit> exits_before_return(const RangeCode& code, std::size_t index) {
  Backwards backwards(code);
  if (is_entered_by_jumps_alone(code) && backwards.cover(index, {})) return backwards.take();
  return {{code.steps[index].address, 0, std::nullopt, 0, false}};
}

}  // namespace tracer::elf
