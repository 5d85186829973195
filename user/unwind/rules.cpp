// SPDX-License-Identifier: Apache-2.0
#include "unwind/rules.h"

#include <bit>

#include "base/result.h"

namespace tracer::unwind {

Rules::Rules() {
  tr_rule rule{};
  TRACER_CHECK(number_of(rule) == kNone);
  rule.cfa = TR_CFA_UNSUPPORTED;
  TRACER_CHECK(number_of(rule) == kUnsupported);
}

std::uint16_t Rules::number_of(const tr_rule& rule) {
  const auto bytes = std::bit_cast<std::uint64_t>(rule);
  if (const auto known = numbers_.find(bytes); known != numbers_.end()) return known->second;
  if (rules_.size() == TR_MAX_RULES) return kUnsupported;
  const auto number = static_cast<std::uint16_t>(rules_.size());
  rules_.push_back(rule);
  numbers_.emplace(bytes, number);
  return number;
}

}  // namespace tracer::unwind
