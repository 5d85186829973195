// SPDX-License-Identifier: Apache-2.0
#include "unwind/frame_program.h"

#include <cstring>
#include <limits>

#include "unwind/dwarf_constants.h"

namespace tracer::unwind {
namespace {

constexpr std::uint8_t kPrimary = 0xc0;  ///< the bits that an instruction with an operand in its lower six has set

bool are_same(const tr_rule& a, const tr_rule& b) { return std::memcmp(&a, &b, sizeof(a)) == 0; }

/// A row that says nothing new is left out; `first`: where those of the same function begin.
void add_row(const Row& row, std::size_t first, std::vector<Row>* rows) {
  if (rows->size() > first && are_same(rows->back().rule, row.rule)) return;
  rows->push_back(row);
}

// Every row looks at the expressions again, so their length must have a bound.
constexpr std::size_t kLongestExpression = 32;

/// Empty, which no rule can say, when it is longer than all that are known.
std::span<const std::byte> expression(Cursor* code) {
  const std::span<const std::byte> bytes = code->bytes(code->uleb());
  return bytes.size() <= kLongestExpression ? bytes : std::span<const std::byte>();
}

tr_rule unsupported() {
  tr_rule rule{};
  rule.cfa = TR_CFA_UNSUPPORTED;
  return rule;
}

}  // namespace

bool FrameProgram::run_initial(std::span<const std::byte> instructions, CommonEntry* common) {
  common->initial = {};
  common_ = common;
  state_ = {};
  location_ = 0;
  remembered_ = 0;
  Cursor code(instructions);
  while (!code.at_end()) {
    if (!step(&code) || location_ != 0) return false;
  }
  common->initial = state_;
  return true;
}

void FrameProgram::run(const FunctionEntry& function, std::uint64_t offset, std::vector<Row>* rows) {
  const std::size_t first = rows->size();
  common_ = function.common;
  state_ = common_->initial;
  location_ = function.start;
  remembered_ = 0;
  Cursor code(function.instructions);
  while (!code.at_end()) {
    const std::uint64_t from = location_;
    const Row row{offset + (from - function.start), {}};
    // An instruction that moves on changes nothing else, so the rule is that of the state either way.
    if (!step(&code)) return add_row({row.offset, unsupported()}, first, rows);
    if (location_ == from) continue;
    add_row({row.offset, rule_of(state_)}, first, rows);
    if (location_ >= function.end) return;
  }
  add_row({offset + (location_ - function.start), rule_of(state_)}, first, rows);
}

bool FrameProgram::step(Cursor* code) {
  const auto instruction = code->number<std::uint8_t>();
  const std::uint8_t operand = instruction & ~kPrimary & 0xff;
  switch (instruction & kPrimary) {
    case DW_CFA_advance_loc:
      return advance(operand);
    case DW_CFA_offset:
      return set(operand, RegisterState::kAtOffset, scaled(code->uleb())) && !code->failed();
    case DW_CFA_restore:
      return restore(operand);
    default:
      return step_extended(instruction, code) && !code->failed();
  }
}

bool FrameProgram::step_extended(std::uint8_t instruction, Cursor* code) {
  switch (instruction) {
    case DW_CFA_nop:
      return true;
    case DW_CFA_set_loc:
      return move_to(section_.pointer(code, common_->encoding));
    case DW_CFA_advance_loc1:
      return advance(code->number<std::uint8_t>());
    case DW_CFA_advance_loc2:
      return advance(code->number<std::uint16_t>());
    case DW_CFA_advance_loc4:
      return advance(code->number<std::uint32_t>());
    case DW_CFA_MIPS_advance_loc8:
      return advance(code->number<std::uint64_t>());
    case DW_CFA_remember_state:
      return remember();
    case DW_CFA_restore_state:
      return recall();
    case DW_CFA_GNU_args_size:  // of what is pushed for a call; the CFA accounts for it on its own
      code->uleb();
      return true;
    default:
      return step_cfa(instruction, code);
  }
}

bool FrameProgram::step_cfa(std::uint8_t instruction, Cursor* code) {
  switch (instruction) {
    case DW_CFA_def_cfa: {
      const std::uint64_t number = code->uleb();
      return set_cfa(number, static_cast<std::int64_t>(code->uleb()));
    }
    case DW_CFA_def_cfa_sf: {
      const std::uint64_t number = code->uleb();
      return set_cfa(number, scaled(static_cast<std::uint64_t>(code->sleb())));
    }
    case DW_CFA_def_cfa_register:
      return set_cfa_register(code->uleb());
    case DW_CFA_def_cfa_offset:
      return set_cfa_offset(static_cast<std::int64_t>(code->uleb()));
    case DW_CFA_def_cfa_offset_sf:
      return set_cfa_offset(scaled(static_cast<std::uint64_t>(code->sleb())));
    case DW_CFA_def_cfa_expression:
      state_.cfa = {CfaState::kExpression, 0, 0, expression(code)};
      return true;
    default:
      return step_register(instruction, code);
  }
}

bool FrameProgram::step_register(std::uint8_t instruction, Cursor* code) {
  if (instruction > DW_CFA_GNU_negative_offset_extended) return false;
  const std::uint64_t number = code->uleb();
  switch (instruction) {
    case DW_CFA_offset_extended:
      return set(number, RegisterState::kAtOffset, scaled(code->uleb()));
    case DW_CFA_offset_extended_sf:
      return set(number, RegisterState::kAtOffset, scaled(static_cast<std::uint64_t>(code->sleb())));
    case DW_CFA_GNU_negative_offset_extended:
      return set(number, RegisterState::kAtOffset, scaled(0 - code->uleb()));
    case DW_CFA_restore_extended:
      return restore(number);
    case DW_CFA_undefined:
      return set(number, RegisterState::kUndefined);
    case DW_CFA_same_value:
      return set(number, RegisterState::kSameValue);
    case DW_CFA_register:
    case DW_CFA_val_offset:
    case DW_CFA_val_offset_sf:
      code->uleb();
      return set(number, RegisterState::kOther);
    case DW_CFA_expression:
      return set_expression(number, RegisterState::kAtExpression, code);
    case DW_CFA_val_expression:
      return set_expression(number, RegisterState::kOther, code);
    default:
      return false;
  }
}

bool FrameProgram::advance(std::uint64_t count) {
  const std::uint64_t distance = count * common_->code_factor;
  const bool is_too_far = (count != 0 && distance / count != common_->code_factor) || location_ + distance < location_;
  location_ = is_too_far ? std::numeric_limits<std::uint64_t>::max() : location_ + distance;
  return true;
}

bool FrameProgram::move_to(std::optional<std::uint64_t> address) {
  if (!address || *address < location_) return false;
  location_ = *address;
  return true;
}

bool FrameProgram::remember() {
  if (remembered_ == memory_.size()) return false;
  memory_[remembered_++] = state_;
  return true;
}

bool FrameProgram::recall() {
  if (remembered_ == 0) return false;
  state_ = memory_[--remembered_];
  return true;
}

bool FrameProgram::set_cfa(std::uint64_t number, std::int64_t offset) {
  state_.cfa = {CfaState::kRegister, number, offset, {}};
  return true;
}

// DWARF 5, section 6.4.2.2: these two are valid only where the CFA is a register and an offset.

bool FrameProgram::set_cfa_register(std::uint64_t number) {
  if (state_.cfa.kind != CfaState::kRegister) return false;
  state_.cfa.register_number = number;
  return true;
}

bool FrameProgram::set_cfa_offset(std::int64_t offset) {
  if (state_.cfa.kind != CfaState::kRegister) return false;
  state_.cfa.offset = offset;
  return true;
}

bool FrameProgram::set(std::uint64_t number, RegisterState::Kind kind, std::int64_t offset) {
  if (RegisterState* state = tracked(number)) *state = {kind, offset, {}};
  return true;
}

bool FrameProgram::set_expression(std::uint64_t number, RegisterState::Kind kind, Cursor* code) {
  const std::span<const std::byte> bytes = expression(code);
  if (RegisterState* state = tracked(number)) *state = {kind, 0, bytes};
  return true;
}

bool FrameProgram::restore(std::uint64_t number) {
  if (number == kRbp) state_.fp = common_->initial.fp;
  if (number == kReturnAddress) state_.return_address = common_->initial.return_address;
  return true;
}

RegisterState* FrameProgram::tracked(std::uint64_t number) {
  return number == kRbp ? &state_.fp : number == kReturnAddress ? &state_.return_address : nullptr;
}

std::int64_t FrameProgram::scaled(std::uint64_t offset) const {
  return static_cast<std::int64_t>(offset * static_cast<std::uint64_t>(common_->data_factor));
}

}  // namespace tracer::unwind
