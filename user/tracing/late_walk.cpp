// SPDX-License-Identifier: Apache-2.0
#include "tracing/late_walk.h"

#include <cstring>

#define TR_INLINE inline
#define TR_READER LateWalk

namespace tracer::tracing {
namespace {

bool read_word(const LateWalk* t, __u64 address, __u64* word) { return t->read(address, word); }

#include "bpf/abi/leave.h"

}  // namespace

int LateWalk::leave(const tr_rule& rule, std::uint32_t depth) {
  if (rule.cfa == TR_CFA_NONE) return leave_by_frame_pointer(this, true, depth, true);
  return leave_by_rule(this, &rule);
}

bool LateWalk::goes_on(int end) { return end == TR_END_NONE; }

bool LateWalk::read(std::uint64_t address, __u64* word) const {
  const std::uint64_t size = raw_.bytes.size();
  const std::uint64_t offset = address - raw_.head.start;
  if (address < raw_.head.start || offset > size || size - offset < sizeof(*word)) return false;
  std::memcpy(word, raw_.bytes.data() + offset, sizeof(*word));
  return true;
}

}  // namespace tracer::tracing
