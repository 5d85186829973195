// SPDX-License-Identifier: Apache-2.0
#include "tracing/stack_resolver.h"

#include <algorithm>

#include "tracing/catalogue.h"

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
    return x.module == y.module && x.module_address == y.module_address;
  };
  return a.pid == b.pid && a.end == b.end && std::ranges::equal(a.frames, b.frames, same_frame);
}

// __libc_start_call_main is smaller than this and lies before __libc_start_main.
constexpr std::uint64_t kMainCallerReach = 256;

/// Whether the address lies in what calls main.
bool calls_main(const ResolvedAddress& address) {
  if (address.library == nullptr || !address.library->image()) return false;
  for (const elf::FunctionSymbol& symbol : address.library->image()->functions()) {
    if (symbol.name == kMainCaller && address.module_address + kMainCallerReach >= symbol.address &&
        address.module_address < symbol.address + symbol.size_bytes)
      return true;
  }
  return false;
}

heap::StackEnd end_of(const tr_stack& stored) {
  switch (stored.end) {
    case TR_END_ROOT:
      return heap::StackEnd::kComplete;
    case TR_END_DEPTH:
      return heap::StackEnd::kTruncated;
    case TR_END_NOT_STORED:
      return heap::StackEnd::kNotRecorded;
    default:
      return heap::StackEnd::kBadFrame;
  }
}

}  // namespace

void StackResolver::poll() {
  const std::uint32_t count = object_.stack_count();
  by_id_.resize(std::max<std::size_t>(by_id_.size(), count), nullptr);
  canonical_.resize(std::max<std::size_t>(canonical_.size(), count), 0);
  std::erase_if(incomplete_, [this](heap::StackId id) { return resolve(id); });
  for (; next_ < count; ++next_) {
    if (!resolve(next_)) incomplete_.push_back(next_);
  }
}

bool StackResolver::resolve(heap::StackId id) {
  const tr_stack& stored = object_.stacks()[id];
  const std::uint32_t space = __atomic_load_n(&stored.space, __ATOMIC_ACQUIRE);
  if (space == 0) return false;
  TracedProcess* process = tracker_.find_space(space);
  // A child whose fork event is still in the ring.
  if (process == nullptr) return false;
  heap::Stack stack;
  stack.id = id;
  stack.pid = process->pid;
  stack.end = end_of(stored);
  resolve_frames(stored, *process, stack);
  remember(std::move(stack));
  return true;
}

void StackResolver::resolve_frames(const tr_stack& stored, TracedProcess& process, heap::Stack& out) {
  bool read_anew = false;
  for (std::uint32_t i = 0; i < stored.frame_count; ++i) {
    const std::uint64_t ip = object_.chunks()[stored.first_chunk + i / TR_CHUNK_FRAMES].address[i % TR_CHUNK_FRAMES];
    // A return address is looked up by the call before it: the call may be the last instruction of a mapping.
    const std::uint64_t looked_up = i == 0 ? ip : ip - 1;
    auto found = process.addresses.resolve(looked_up, stored.epoch);
    if (!found && !read_anew) {
      // Mapped since the last reading, or read in an earlier epoch.
      read_anew = true;
      if (tracker_.refresh(process)) found = process.addresses.resolve(looked_up, stored.epoch);
    }
    if (!found) {
      out.end = heap::StackEnd::kBadFrame;
      return;
    }
    if (i > 1 && calls_main(*found)) {
      // The stack is whole, and this frame would only say that there is a main.
      out.end = heap::StackEnd::kComplete;
      return;
    }
    heap::Frame frame;
    frame.ip = ip;
    frame.exact = i == 0;
    frame.module = found->library == nullptr ? heap::kNoModule : found->library->module_id();
    frame.module_address = found->module_address + (ip - looked_up);
    out.frames.push_back(frame);
  }
}

void StackResolver::remember(heap::Stack stack) {
  const std::uint64_t hash = hash_of(stack);
  heap::StackId first = stack.id;
  const auto [begin, end] = by_meaning_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (means_the_same(*by_id_[it->second], stack)) first = it->second;
  }
  const heap::StackId id = stack.id;
  canonical_[id] = first;
  if (first != id) {
    by_id_[id] = by_id_[first];
    return;
  }
  stacks_.push_back(std::move(stack));
  by_id_[id] = &stacks_.back();
  by_meaning_.emplace(hash, id);
}

const heap::Stack* StackResolver::find(heap::StackId id) const { return id < by_id_.size() ? by_id_[id] : nullptr; }

heap::StackId StackResolver::canonical(heap::StackId id) const {
  return id < canonical_.size() && canonical_[id] != 0 ? canonical_[id] : id;
}

}  // namespace tracer::tracing
