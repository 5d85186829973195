// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "heap/stack.h"
#include "kernel/bpf_object.h"
#include "tracing/process_tracker.h"
#include "tracing/stack_pool.h"
#include "tracing/unwind_tables.h"

namespace tracer::tracing {

/// Turns the frames of stored stacks, (file number, offset in the file), into (module, address of the module).
///
/// Several numbers can be one module (a file that was renamed, say); stacks that mean the same are one here, under an
/// id of this side: the store's are used again when a process has ended. Used by the session
/// thread.
class StackResolver {
 public:
  /// What stands for all allocations under no stack.
  static constexpr heap::StackId kNoStack = 0;

  /// `tables`: nullptr when stacks are walked by frame pointers.
  StackResolver(kernel::BpfObject& object, ProcessTracker& tracker, const library::LibraryCache& cache,
                const UnwindTables* tables)
      : object_(object), tracker_(tracker), cache_(cache), tables_(tables) {}

  /// Resolves everything that was stored since the last call. Costs time in proportion to that.
  void poll();
  /// The same, for the last time: what waited for a library to be seen again has waited in vain.
  void finish();

  /// The last id that was given out; find() knows those up to it that were not forgotten.
  heap::StackId last() const { return stacks_.last(); }

  /// The stacks of a process are not needed any more: it has ended, and what it held was told.
  void forget(const TracedProcess& process);

  /// The stacks that were resolved since the last call, those that mean something new.
  std::vector<heap::StackId> take_new() { return std::exchange(new_, {}); }

  /// The names of a stack's functions are lost with the file of a library.
  void mark_missed(heap::StackId id);

  /// The stack, or nullptr when the id is unknown or forgotten. Stays valid until it is. kNoStack has no frames.
  const heap::Stack* find(heap::StackId id) const;

  /// Stacks of different processes are one if their frames are the same places in files.
  bool shares_between_processes = false;

 private:
  // About a kilobyte each.
  static constexpr std::size_t kMostUnusedStacks = 32768;

  void collect_new(TracedProcess& process);
  void resolve_all(TracedProcess& process);
  bool resolve(std::uint32_t id, TracedProcess& process);
  enum class Progress : std::uint8_t { kGoOn, kIsWhole, kWait };
  /// A place in a file.
  struct Place {
    const library::Library* library = nullptr;
    std::uint64_t file_offset = 0;  ///< of the instruction that the frame is about
  };
  bool resolve_frames(std::uint32_t id, const tr_stack& stored, const TracedProcess& process, heap::Stack& out);
  Progress resolve_frame(std::uint64_t stored, std::uint32_t announcements, const TracedProcess& process,
                         heap::Stack& out);
  Progress find_place(std::uint64_t stored, std::uint32_t announcements, const TracedProcess& process, Place* place,
                      heap::Stack& out);
  using Find = const MappedLibrary* (AddressSpace::*)(std::uint64_t, std::uint32_t) const;
  Progress find_by_address(Find look_up, std::uint64_t address, std::uint32_t announcements,
                           const TracedProcess& process, Place* place) const;
  Progress add_frame(const Place& place, heap::Frame frame, heap::Stack& out) const;
  std::uint64_t frame_at(const tr_stack& stored, std::uint32_t i) const;
  Progress finish_walk(std::uint32_t id, const tr_stack& stored, const TracedProcess& process, heap::Stack& out);
  heap::StackId remember(heap::Stack stack);

  kernel::BpfObject& object_;
  ProcessTracker& tracker_;
  const library::LibraryCache& cache_;
  const UnwindTables* tables_;
  std::unordered_map<std::uint32_t, kernel::RawStack>
      raw_;  ///< stacks that are to be finished, by their id in the store
  StackPool stacks_{kMostUnusedStacks};
  std::vector<heap::StackId> new_;
  bool is_last_ = false;  ///< of all stacks, or of those of the process at hand
};

}  // namespace tracer::tracing
