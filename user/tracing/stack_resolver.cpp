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
bool calls_main(const library::Library& library, std::uint64_t address) {
  if (!library.image()) return false;
  return std::ranges::any_of(library.image()->functions(), [&](const elf::FunctionSymbol& symbol) {
    return symbol.name == kMainCaller && address + kMainCallerReach >= symbol.address &&
           address < symbol.address + symbol.size_bytes;
  });
}

heap::StackEnd end_of(const tr_stack& stored) {
  switch (stored.end) {
    case TR_END_ROOT:
      // A null frame pointer at the caller itself says that the caller keeps none, not that it has none.
      return stored.frame_count > 2 ? heap::StackEnd::kComplete : heap::StackEnd::kBadFrame;
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

void StackResolver::finish() {
  is_last_ = true;
  poll();
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
  if (!resolve_frames(stored, *process, stack)) return false;
  remember(std::move(stack));
  return true;
}

/// False when a file is not known yet: its number has been given out and nobody has looked at it, or the mappings have
/// not been read since the stack was taken.
bool StackResolver::resolve_frames(const tr_stack& stored, const TracedProcess& process, heap::Stack& out) {
  for (std::uint32_t i = 0; i < stored.frame_count; ++i) {
    const std::uint64_t stored_frame =
        object_.chunks()[stored.first_chunk + i / TR_CHUNK_FRAMES].frame[i % TR_CHUNK_FRAMES];
    heap::Frame frame;
    frame.exact = i == 0;
    if (TR_FRAME_MODULE(stored_frame) == TR_MODULE_NONE) {
      frame.ip = TR_FRAME_OFFSET(stored_frame);
      frame.module_address = frame.ip;
      out.frames.push_back(frame);
      continue;
    }
    // A return address belongs to the call before it, which may be the last instruction of a segment.
    const std::uint64_t behind = frame.exact ? 0 : 1;
    std::uint64_t offset = TR_FRAME_OFFSET(stored_frame) - behind;
    const library::Library* library = cache_.find(TR_FRAME_MODULE(stored_frame));
    if (TR_FRAME_MODULE(stored_frame) == TR_MODULE_UNKNOWN) {
      const AddressSpace& addresses = process.addresses;
      if (addresses.is_older_than(stored.announcements) && process.is_live()) return false;
      const MappedLibrary* mapped = addresses.find(offset);
      if (!addresses.is_as_of(stored.announcements) || mapped == nullptr) {
        out.end = heap::StackEnd::kBusy;
        return true;
      }
      library = mapped->library;
      offset = offset - mapped->mapping.start + mapped->mapping.file_offset;
    }
    // Of a library that was missed nobody knows which address an offset is; it may be seen yet.
    if (library == nullptr || (!library->was_inspected() && !is_last_)) return false;
    // Known from before, and used by a process that came and went meanwhile: the names will be asked for.
    if (library->state() == library::State::kRetired && library->was_inspected())
      tracker_.find_again(TR_FRAME_MODULE(stored_frame));
    std::optional<std::uint64_t> address;
    if (library->image()) address = library->image()->address_of_offset(offset);
    if (i > 1 && calls_main(*library, address.value_or(offset))) {
      // The stack is whole, and this frame would only say that there is a main.
      out.end = heap::StackEnd::kComplete;
      return true;
    }
    out.has_missed_library = out.has_missed_library || !library->was_inspected();
    frame.module = library->module_id();
    frame.module_address = address.value_or(offset) + behind;
    out.frames.push_back(frame);
  }
  return true;
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
  new_.push_back(id);
}

void StackResolver::mark_missed(heap::StackId id) {
  const auto found = std::ranges::find(stacks_, canonical(id), &heap::Stack::id);
  if (found != stacks_.end()) found->has_missed_library = true;
}

const heap::Stack* StackResolver::find(heap::StackId id) const {
  static const heap::Stack kNone{kNoStack, 0, {}, heap::StackEnd::kNotRecorded, false};
  if (id == kNoStack) return &kNone;
  return id < by_id_.size() ? by_id_[id] : nullptr;
}

heap::StackId StackResolver::canonical(heap::StackId id) const {
  return id < canonical_.size() && canonical_[id] != 0 ? canonical_[id] : id;
}

}  // namespace tracer::tracing
