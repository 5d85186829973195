// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "bpf/abi/unwind.h"

namespace tracer::unwind {

/// The rules of all tables, each once. Some thousands are enough for everything on a machine. Rules are never removed,
/// so a number keeps its meaning. Not thread-safe.
class Rules {
 public:
  static constexpr std::uint16_t kNone = 0;         ///< TR_CFA_NONE
  static constexpr std::uint16_t kUnsupported = 1;  ///< TR_CFA_UNSUPPORTED

  Rules();

  /// The number of a rule, new or not; kUnsupported when all TR_MAX_RULES numbers are used.
  std::uint16_t number_of(const tr_rule& rule);

  /// Index: number.
  const std::vector<tr_rule>& all() const { return rules_; }

 private:
  std::vector<tr_rule> rules_;
  std::unordered_map<std::uint64_t, std::uint16_t> numbers_;  ///< the rule's bytes → its number
};

}  // namespace tracer::unwind
