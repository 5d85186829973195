// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "bpf/abi/unwind.h"

namespace tracer::unwind {

/// What call frame instructions say of one register of the caller.
struct RegisterState {
  enum Kind : std::uint8_t {
    kUnspecified,
    kSameValue,
    kUndefined,
    kAtOffset,      ///< stored at CFA + offset
    kAtExpression,  ///< stored where the expression says
    kOther,
  };
  Kind kind = kUnspecified;
  std::int64_t offset = 0;
  std::span<const std::byte> expression;
};

struct CfaState {
  enum Kind : std::uint8_t { kUnknown, kRegister, kExpression };
  Kind kind = kUnknown;
  std::uint64_t register_number = 0;
  std::int64_t offset = 0;
  std::span<const std::byte> expression;
};

/// What call frame instructions have said so far, of all that we need of it.
struct FrameState {
  CfaState cfa;
  RegisterState fp;
  RegisterState return_address;
};

/// The rule that says the same; TR_CFA_UNSUPPORTED when none does.
tr_rule rule_of(const FrameState& state);

}  // namespace tracer::unwind
