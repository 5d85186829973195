// SPDX-License-Identifier: Apache-2.0
#include "tracing/stack_resolver.h"

#include <algorithm>
#include <array>
#include <optional>

#include "tracing/catalogue.h"
#include "tracing/late_walk.h"

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

heap::StackEnd end_of(std::uint32_t end) {
  static constexpr std::array<heap::StackEnd, TR_END_COUNT> kEnds{
      heap::StackEnd::kComplete,        heap::StackEnd::kTruncated, heap::StackEnd::kBadFrame,
      heap::StackEnd::kNotRecorded,     heap::StackEnd::kBusy,      heap::StackEnd::kNoTable,
      heap::StackEnd::kUnsupportedRule, heap::StackEnd::kReadFault, heap::StackEnd::kNoCode,
      heap::StackEnd::kJitCode};
  return end < kEnds.size() ? kEnds[end] : heap::StackEnd::kNotRecorded;
}

// With so many frames it is known who allocates: the allocator's function, and its caller.
constexpr std::size_t kAttributed = 2;

}  // namespace

void StackResolver::poll() {
  for (kernel::RawStack& raw : object_.take_raw_stacks()) {
    const heap::StackId id = raw.head.stack_id;
    raw_[id] = std::move(raw);
  }
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
  stack.end = end_of(stored.end & ~static_cast<std::uint32_t>(TR_END_RAW));
  if (!resolve_frames(stored, *process, stack)) return false;
  raw_.erase(id);
  remember(std::move(stack));
  return true;
}

/// False when a file is not known yet: its number has been given out and nobody has looked at it, or the mappings have
/// not been read since the stack was taken, or a table that the walk needs is still being made.
bool StackResolver::resolve_frames(const tr_stack& stored, const TracedProcess& process, heap::Stack& out) {
  Progress progress = Progress::kGoOn;
  for (std::uint32_t i = 0; i < stored.frame_count && progress == Progress::kGoOn; ++i) {
    const std::uint64_t frame = object_.chunks()[stored.first_chunk + i / TR_CHUNK_FRAMES].frame[i % TR_CHUNK_FRAMES];
    progress = resolve_frame(frame, stored.announcements, process, out);
  }
  if (progress == Progress::kGoOn && (stored.end & TR_END_RAW) != 0) progress = finish_walk(stored, process, out);
  return progress != Progress::kWait;
}

StackResolver::Progress StackResolver::resolve_frame(std::uint64_t stored, std::uint32_t announcements,
                                                     const TracedProcess& process, heap::Stack& out) {
  heap::Frame frame;
  frame.exact = (stored & TR_FRAME_EXACT) != 0;
  frame.by_frame_pointer = (stored & TR_FRAME_BY_FP) != 0;
  const std::uint32_t number = TR_FRAME_MODULE(stored);
  if (number == TR_MODULE_NONE || number == TR_MODULE_UNNUMBERED) {
    if (number == TR_MODULE_UNNUMBERED) out.loss = heap::Loss::kModulesFull;
    frame.ip = TR_FRAME_OFFSET(stored);
    frame.module_address = frame.ip;
    out.frames.push_back(frame);
    return Progress::kGoOn;
  }
  Place place;
  const Progress found = find_place(stored, announcements, process, &place, out);
  return found == Progress::kGoOn ? add_frame(place, frame, out) : found;
}

StackResolver::Progress StackResolver::find_place(std::uint64_t stored, std::uint32_t announcements,
                                                  const TracedProcess& process, Place* place, heap::Stack& out) {
  // A return address belongs to the call before it, which may be the last instruction of a segment.
  const std::uint64_t offset = TR_FRAME_OFFSET(stored) - ((stored & TR_FRAME_EXACT) != 0 ? 0 : 1);
  const std::uint32_t number = TR_FRAME_MODULE(stored);
  if (number == TR_MODULE_UNKNOWN) {
    const Progress found = find_by_address(&AddressSpace::find_exactly, offset, announcements, process, place);
    if (found != Progress::kIsWhole) return found;
    out.end = heap::StackEnd::kBusy;
    if (out.frames.size() < kAttributed) out.loss = heap::Loss::kMappingBusy;
    return Progress::kIsWhole;
  }
  *place = {cache_.find(number), offset};
  // Known from before, and used by a process that came and went meanwhile: the names will be asked for.
  if (place->library != nullptr && place->library->state() == library::State::kRetired &&
      place->library->was_inspected())
    tracker_.find_again(number);
  return Progress::kGoOn;
}

/// For what the kernel half has not looked up; kIsWhole when nobody can tell any more.
StackResolver::Progress StackResolver::find_by_address(Find look_up, std::uint64_t address, std::uint32_t announcements,
                                                       const TracedProcess& process, Place* place) const {
  if (process.addresses.is_older_than(announcements) && process.is_live() && !is_last_) return Progress::kWait;
  const MappedLibrary* mapped = (process.addresses.*look_up)(address, announcements);
  if (mapped == nullptr) return Progress::kIsWhole;
  *place = {mapped->library, address - mapped->mapping.start + mapped->mapping.file_offset};
  return Progress::kGoOn;
}

StackResolver::Progress StackResolver::add_frame(const Place& place, heap::Frame frame, heap::Stack& out) const {
  // Of a library that was missed nobody knows which address an offset is; it may be seen yet.
  const library::Library* library = place.library;
  if (library == nullptr || (!library->was_inspected() && !is_last_)) return Progress::kWait;
  std::optional<std::uint64_t> address;
  if (library->image()) address = library->image()->address_of_offset(place.file_offset);
  if (out.frames.size() > 1 && calls_main(*library, address.value_or(place.file_offset))) {
    // The stack is whole, and this frame would only say that there is a main.
    out.end = heap::StackEnd::kComplete;
    return Progress::kIsWhole;
  }
  if (!library->was_inspected()) out.loss = heap::Loss::kLibraryMissed;
  frame.module = library->module_id();
  frame.module_address = address.value_or(place.file_offset) + (frame.exact ? 0 : 1);
  out.frames.push_back(frame);
  return Progress::kGoOn;
}

/// Goes on where a table was missing when the stack was taken.
StackResolver::Progress StackResolver::finish_walk(const tr_stack& stored, const TracedProcess& process,
                                                   heap::Stack& out) {
  const auto raw = raw_.find(out.id);
  if (raw == raw_.end() || tables_ == nullptr) return is_last_ ? Progress::kIsWhole : Progress::kWait;
  LateWalk walk(raw->second);
  Place place;
  const std::uint32_t last = stored.frame_count - 1;
  const std::uint64_t frame =
      object_.chunks()[stored.first_chunk + last / TR_CHUNK_FRAMES].frame[last % TR_CHUNK_FRAMES];
  if (find_place(frame, stored.announcements, process, &place, out) != Progress::kGoOn) return Progress::kIsWhole;
  while (out.frames.size() < object_.max_frames()) {
    tr_rule rule{};
    const UnwindTables::Answer answer = tables_->rule_at(*place.library, place.file_offset, &rule);
    if (answer == UnwindTables::Answer::kLater && !is_last_) return Progress::kWait;
    if (answer != UnwindTables::Answer::kRule) return Progress::kIsWhole;
    const int end = walk.leave(rule, static_cast<std::uint32_t>(out.frames.size()));
    if (!LateWalk::goes_on(end)) {
      // The copy has an end, too.
      if (end != TR_END_FAULT) out.end = end_of(static_cast<std::uint32_t>(end));
      return Progress::kIsWhole;
    }
    heap::Frame caller;
    caller.exact = walk.is_exact();
    caller.by_frame_pointer = walk.is_by_frame_pointer();
    Progress found = find_by_address(&AddressSpace::find_as_of, walk.pc() - (caller.exact ? 0 : 1),
                                     stored.announcements, process, &place);
    if (found == Progress::kGoOn) found = add_frame(place, caller, out);
    if (found != Progress::kGoOn) return found;
  }
  out.end = heap::StackEnd::kTruncated;
  return Progress::kIsWhole;
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
  if (id < by_id_.size() && by_id_[id] != nullptr) by_id_[id]->loss = heap::Loss::kLibraryMissed;
}

const heap::Stack* StackResolver::find(heap::StackId id) const {
  static const heap::Stack kNone{kNoStack, 0, {}, heap::StackEnd::kNotRecorded, std::nullopt};
  if (id == kNoStack) return &kNone;
  return id < by_id_.size() ? by_id_[id] : nullptr;
}

heap::StackId StackResolver::canonical(heap::StackId id) const {
  return id < canonical_.size() && canonical_[id] != 0 ? canonical_[id] : id;
}

}  // namespace tracer::tracing
