// SPDX-License-Identifier: Apache-2.0
#include "tracing/stack_pool.h"

#include <algorithm>
#include <utility>

#include "base/result.h"

namespace tracer::tracing {
namespace {

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL;
  return hash ^ (hash >> 32);
}

std::uint64_t hash_of(const heap::Stack& stack) {
  std::uint64_t hash = static_cast<std::uint64_t>(stack.pid);
  for (const heap::Frame& frame : stack.frames) hash = mix(mix(hash, frame.module), frame.module_address);
  return hash;
}

bool means_the_same(const heap::Stack& a, const heap::Stack& b) {
  const auto same_frame = [](const heap::Frame& x, const heap::Frame& y) {
    return x.module == y.module && x.module_address == y.module_address && x.exact == y.exact;
  };
  return a.pid == b.pid && a.end == b.end && std::ranges::equal(a.frames, b.frames, same_frame);
}

}  // namespace

StackPool::Added StackPool::add(heap::Stack stack) {
  const std::uint64_t hash = hash_of(stack);
  const auto [begin, end] = by_meaning_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    Known& known = *stacks_[it->second - 1];
    if (!means_the_same(known.stack, stack)) continue;
    if (known.users++ == 0) --unused_;
    return {it->second, false};
  }
  stack.id = last() + 1;
  by_meaning_.emplace(hash, stack.id);
  stacks_.push_back(std::make_unique<Known>(Known{std::move(stack), 1}));
  return {last(), true};
}

void StackPool::release(heap::StackId id) {
  TRACER_CHECK(id != 0 && id <= last() && stacks_[id - 1] && stacks_[id - 1]->users > 0);
  if (--stacks_[id - 1]->users == 0 && ++unused_ > most_unused_) drop_unused();
}

void StackPool::drop_unused() {
  for (std::unique_ptr<Known>& known : stacks_) {
    if (unused_ <= most_unused_ / 2) break;
    if (!known || known->users != 0) continue;
    const auto [begin, end] = by_meaning_.equal_range(hash_of(known->stack));
    by_meaning_.erase(std::find_if(begin, end, [&](const auto& entry) { return entry.second == known->stack.id; }));
    known.reset();
    --unused_;
  }
}

heap::Stack* StackPool::find(heap::StackId id) const {
  if (id == 0 || id > last() || !stacks_[id - 1]) return nullptr;
  return &stacks_[id - 1]->stack;
}

}  // namespace tracer::tracing
