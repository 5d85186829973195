// SPDX-License-Identifier: Apache-2.0
#include "tracing/stack_resolver.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/clock.h"
#include "tracing/catalogue.h"
#include "tracing/late_walk.h"

namespace tracer::tracing {
namespace {

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
    const std::uint32_t id = raw.head.stack_id;
    raw_[id] = std::move(raw);
  }
  const std::uint64_t now = monotonic_ns();
  const bool is_end = is_last_;
  for (const auto& [space, process] : tracker_.processes()) {
    is_last_ = is_end || (process->settle_by_ns && now >= *process->settle_by_ns);
    collect_new(*process);
    resolve_all(*process);
  }
  is_last_ = is_end;
}

void StackResolver::finish() {
  is_last_ = true;
  poll();
}

/// The stacks of the process that were stored since the last time, in the order in which they were.
void StackResolver::collect_new(TracedProcess& process) {
  const std::uint32_t newest = __atomic_load_n(&object_.spaces()[process.space].newest_stack, __ATOMIC_ACQUIRE);
  const std::size_t known = process.unresolved.size();
  for (std::uint32_t id = newest; id != 0 && id != process.newest_stack; id = object_.stack_links()[id].older)
    process.unresolved.push_back(id);
  std::reverse(process.unresolved.begin() + static_cast<std::ptrdiff_t>(known), process.unresolved.end());
  process.newest_stack = newest;
}

void StackResolver::resolve_all(TracedProcess& process) {
  std::erase_if(process.unresolved, [&](std::uint32_t id) { return resolve(id, process); });
}

bool StackResolver::resolve(std::uint32_t id, TracedProcess& process) {
  const tr_stack& stored = object_.stacks()[id];
  heap::Stack stack;
  stack.pid = process.pid;
  stack.end = end_of(stored.end & ~static_cast<std::uint32_t>(TR_END_RAW));
  if (!resolve_frames(id, stored, process, stack)) return false;
  raw_.erase(id);
  process.stacks.push_back({id, remember(std::move(stack))});
  return true;
}

std::uint64_t StackResolver::frame_at(const tr_stack& stored, std::uint32_t i) const {
  std::uint32_t chunk = stored.first_chunk;
  for (; i >= TR_CHUNK_FRAMES; i -= TR_CHUNK_FRAMES) chunk = object_.chunks()[chunk].next;
  return object_.chunks()[chunk].frame[i];
}

/// False when a file is not known yet: its number has been given out and nobody has looked at it, or the mappings have
/// not been read since the stack was taken, or a table that the walk needs is still being made.
bool StackResolver::resolve_frames(std::uint32_t id, const tr_stack& stored, const TracedProcess& process,
                                   heap::Stack& out) {
  Progress progress = Progress::kGoOn;
  for (std::uint32_t i = 0; i < stored.frame_count && progress == Progress::kGoOn; ++i) {
    progress = resolve_frame(frame_at(stored, i), stored.announcements, process, out);
  }
  if (progress == Progress::kGoOn && (stored.end & TR_END_RAW) != 0) progress = finish_walk(id, stored, process, out);
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
    frame.pid = process.pid;
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
StackResolver::Progress StackResolver::finish_walk(std::uint32_t id, const tr_stack& stored,
                                                   const TracedProcess& process, heap::Stack& out) {
  const auto raw = raw_.find(id);
  if (raw == raw_.end() || tables_ == nullptr) return is_last_ ? Progress::kIsWhole : Progress::kWait;
  LateWalk walk(raw->second);
  Place place;
  const std::uint64_t frame = frame_at(stored, stored.frame_count - 1);
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

heap::StackId StackResolver::remember(heap::Stack stack) {
  const auto has_module = [](const heap::Frame& frame) { return frame.module != heap::kNoModule; };
  if (shares_between_processes && std::ranges::all_of(stack.frames, has_module)) stack.pid = 0;
  const StackPool::Added added = stacks_.add(std::move(stack));
  if (added.is_new) new_.push_back(added.id);
  return added.id;
}

void StackResolver::forget(const TracedProcess& process) {
  for (const StoredStack& stack : process.stacks) stacks_.release(stack.meaning);
  for (const std::uint32_t id : process.unresolved) raw_.erase(id);
}

void StackResolver::mark_missed(heap::StackId id) {
  if (heap::Stack* stack = stacks_.find(id)) stack->loss = heap::Loss::kLibraryMissed;
}

const heap::Stack* StackResolver::find(heap::StackId id) const {
  static const heap::Stack kNone{kNoStack, 0, {}, heap::StackEnd::kNotRecorded, std::nullopt};
  return id == kNoStack ? &kNone : stacks_.find(id);
}

}  // namespace tracer::tracing
