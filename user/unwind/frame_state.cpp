// SPDX-License-Identifier: Apache-2.0
#include "unwind/frame_state.h"

#include <array>
#include <limits>
#include <optional>

#include "unwind/cursor.h"
#include "unwind/dwarf_constants.h"

namespace tracer::unwind {
namespace {

// Where the caller's registers lie in a ucontext; sys/ucontext.h of x86-64.
constexpr std::int64_t kContextRbp = 120;
constexpr std::int64_t kContextRsp = 160;
constexpr std::int64_t kContextRip = 168;

constexpr std::int64_t kReturnAddressOffset = -8;

template <typename T>
bool fits(std::int64_t value) {
  return value >= std::numeric_limits<T>::min() && value <= std::numeric_limits<T>::max();
}

tr_rule just(tr_cfa cfa) {
  tr_rule rule{};
  rule.cfa = cfa;
  return rule;
}

/// The offset, if the expression is that register plus an offset.
std::optional<std::int64_t> register_offset(std::span<const std::byte> expression, std::uint8_t breg) {
  Cursor cursor(expression);
  const bool is_register = cursor.number<std::uint8_t>() == breg;
  const std::int64_t offset = cursor.sleb();
  if (!is_register || cursor.failed() || !cursor.at_end()) return std::nullopt;
  return offset;
}

bool is_stored_above_rsp(const RegisterState& state, std::int64_t offset) {
  return state.kind == RegisterState::kAtExpression && register_offset(state.expression, DW_OP_breg7) == offset;
}

/// What linkers write for a procedure linkage table: 8 more from byte 11 (or 10) of an entry on, where it has pushed.
bool read_plt(std::span<const std::byte> expression, tr_rule* rule) {
  Cursor cursor(expression);
  std::array<std::uint8_t, 11> code{};
  for (std::uint8_t& byte : code) byte = cursor.number<std::uint8_t>();
  if (cursor.failed() || !cursor.at_end() || (code[6] != DW_OP_lit10 && code[6] != DW_OP_lit11)) return false;
  if (code != std::array<std::uint8_t, 11>{DW_OP_breg7, 8, DW_OP_breg16, 0, DW_OP_lit15, DW_OP_and, code[6], DW_OP_ge,
                                           DW_OP_lit3, DW_OP_shl, DW_OP_plus})
    return false;
  rule->cfa = TR_CFA_PLT;
  rule->cfa_offset = code[6] - DW_OP_lit0;
  return true;
}

/// The constant that the rest of an expression adds, 0 if there is no rest.
std::optional<std::uint64_t> read_sum(Cursor cursor) {
  if (cursor.at_end()) return 0;
  const auto code = cursor.number<std::uint8_t>();
  std::uint64_t sum = 0;
  if (code == DW_OP_plus_uconst) {
    sum = cursor.uleb();
  } else if (code < DW_OP_lit0 || code > DW_OP_lit31 || cursor.number<std::uint8_t>() != DW_OP_plus) {
    return std::nullopt;
  } else {
    sum = code - DW_OP_lit0;
  }
  if (cursor.failed() || !cursor.at_end()) return std::nullopt;
  return sum;
}

/// *(rsp + n) + 8 k or *(rbp + n) + 8 k: functions that align their stack.
bool read_deref(std::span<const std::byte> expression, tr_rule* rule) {
  Cursor cursor(expression);
  const auto base = cursor.number<std::uint8_t>();
  const std::int64_t offset = cursor.sleb();
  const bool is_known = (base == DW_OP_breg6 || base == DW_OP_breg7) && cursor.number<std::uint8_t>() == DW_OP_deref;
  if (!is_known || cursor.failed() || !fits<std::int32_t>(offset)) return false;
  const std::optional<std::uint64_t> sum = read_sum(cursor);
  if (!sum || *sum % 8 != 0 || *sum / 8 > 15) return false;
  rule->cfa = base == DW_OP_breg6 ? TR_CFA_FP_DEREF : TR_CFA_SP_DEREF;
  rule->cfa_offset = static_cast<std::int32_t>(offset);
  rule->add8 = (*sum / 8) & 15;
  return true;
}

bool read_register(const CfaState& cfa, tr_rule* rule) {
  if ((cfa.register_number != kRsp && cfa.register_number != kRbp) || !fits<std::int32_t>(cfa.offset)) return false;
  rule->cfa = cfa.register_number == kRsp ? TR_CFA_SP : TR_CFA_FP;
  rule->cfa_offset = static_cast<std::int32_t>(cfa.offset);
  return true;
}

bool read_cfa(const CfaState& cfa, tr_rule* rule) {
  if (cfa.kind == CfaState::kRegister) return read_register(cfa, rule);
  if (cfa.kind != CfaState::kExpression) return false;
  return read_plt(cfa.expression, rule) || read_deref(cfa.expression, rule);
}

void set_fp(tr_rule* rule, tr_fp kind, std::int64_t offset) {
  const bool is_kept = fits<std::int16_t>(offset);
  rule->fp = (is_kept ? kind : TR_FP_LOST) & 15;
  rule->fp_offset = is_kept ? static_cast<std::int16_t>(offset) : std::int16_t{0};
}

void read_fp(const RegisterState& fp, tr_rule* rule) {
  set_fp(rule, TR_FP_LOST, 0);
  // The ABI has functions keep rbp, so what is not spoken of is the same.
  if (fp.kind == RegisterState::kUnspecified || fp.kind == RegisterState::kSameValue) {
    set_fp(rule, TR_FP_SAME, 0);
  } else if (fp.kind == RegisterState::kAtOffset) {
    set_fp(rule, TR_FP_CFA, fp.offset);
  } else if (fp.kind == RegisterState::kAtExpression) {
    if (const auto offset = register_offset(fp.expression, DW_OP_breg6)) set_fp(rule, TR_FP_FP, *offset);
  }
}

/// Where a signal handler returns to: all registers lie in the ucontext on the stack. They are compared, rather than
/// the augmentation letter S trusted, which other frames may carry too.
bool read_signal_frame(const FrameState& state, tr_rule* rule) {
  tr_rule deref{};
  if (state.return_address.kind != RegisterState::kAtExpression || state.cfa.kind != CfaState::kExpression ||
      !read_deref(state.cfa.expression, &deref) || deref.cfa != TR_CFA_SP_DEREF || deref.add8 != 0)
    return false;
  const std::int64_t context = std::int64_t{deref.cfa_offset} - kContextRsp;
  if (!fits<std::int32_t>(context) || !is_stored_above_rsp(state.return_address, context + kContextRip) ||
      !is_stored_above_rsp(state.fp, context + kContextRbp))
    return false;
  *rule = just(TR_CFA_SIGNAL);
  rule->cfa_offset = static_cast<std::int32_t>(context);
  return true;
}

}  // namespace

tr_rule rule_of(const FrameState& state) {
  const RegisterState& return_address = state.return_address;
  tr_rule rule{};
  if (return_address.kind == RegisterState::kUndefined) return just(TR_CFA_END);
  if (read_signal_frame(state, &rule)) return rule;
  const bool is_usual =
      return_address.kind == RegisterState::kAtOffset && return_address.offset == kReturnAddressOffset;
  if (!is_usual || !read_cfa(state.cfa, &rule)) return just(TR_CFA_UNSUPPORTED);
  read_fp(state.fp, &rule);
  return rule;
}

}  // namespace tracer::unwind
