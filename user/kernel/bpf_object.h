// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "bpf/abi/memory.h"
#include "bpf/abi/misuse.h"
#include "bpf/abi/types.h"
#include "bpf/abi/unwind.h"
#include "heap/stack.h"
#include "kernel/features.h"

struct bpf_program;

namespace tracer::kernel {

/// How large the kernel half's tables are.
struct Capacity {
  std::uint32_t blocks = 0;
  std::uint32_t stacks = 0;
  std::uint32_t chunks = 0;
  std::uint32_t unwind_words = 0;  ///< of 4 bytes

  /// Divides a budget: with unwind tables, a quarter for these but no more than 64 MiB; of the rest, three quarters for
  /// live blocks (about 104 bytes each) and one for stacks. With `all` it is half and half: many programs have many
  /// stacks.
  static Capacity of_budget(std::uint64_t max_memory_bytes, bool use_tables, bool all);
};

/// A stack that has to be finished, and as much of it as could be copied.
struct RawStack {
  tr_raw_stack head{};
  std::vector<std::byte> bytes;  ///< from head.start on
};

struct ObjectConfig {
  Capacity capacity;
  bool follow = false;
  unsigned max_frames = TR_DEFAULT_FRAMES;
  std::uint64_t min_size_bytes = 0;
  std::uint64_t max_size_bytes = ~std::uint64_t{0};
  Backend backend = Backend::kMulti;
  std::uint64_t sample_bytes = 0;  ///< mean distance of samples, see sample_distance_fits(); 0: all is recorded
  bool use_tables = true;          ///< stacks are walked by unwind tables, else by frame pointers
  bool all = false;                ///< every process is traced that passes `filter`
  bool follow_mappings = false;    ///< memory events are made of what is mapped and unmapped
  bool count_faults = false;       ///< first touches of pages are counted by stack
  bool watch_misuse = false;       ///< blocks that are given back as they must not be are told
  tr_filter filter{};
};

/// The same misuse, so many times.
struct FoundAnomaly {
  tr_anomaly_key key{};
  tr_anomaly value{};
};

/// Whether the kernel half can sample with this mean distance.
bool sample_distance_fits(std::uint64_t bytes);

/// The programs a probe can run; the names are those in bpf/tracer.bpf.c.
enum class Program { kHeapEntry, kHeapReturn, kHeapExit, kLibraryEntry };

/// The kernel half of the tracer, loaded: programs, maps and the memory shared with them.
///
/// Loading attaches nothing but what attach_process_events() says. Owned by the session and used by its thread.
/// Destroying it removes programs and maps; links to probes must be gone by then (member order of the owner).
class BpfObject {
 public:
  /// Fails with kPermission without the capabilities, kUnsupported when the kernel lacks something needed.
  static Result<std::unique_ptr<BpfObject>> load(const ObjectConfig& config);
  ~BpfObject();
  BpfObject(const BpfObject&) = delete;
  BpfObject& operator=(const BpfObject&) = delete;

  /// Starts to follow fork, exec and exit of traced processes, and changes of their mappings where the kernel does not
  /// count these itself.
  Result<void> attach_process_events();

  tr_globals& globals();
  std::span<const tr_space> spaces() const;
  std::span<const tr_stack> stacks() const;
  std::span<const tr_stack_chunk> chunks() const;
  std::span<tr_young> young();
  std::span<tr_unverified> unverified();
  /// By address space.
  std::span<const tr_origin> origins() const;
  /// By stack id.
  std::span<const tr_stack_link> stack_links() const;
  /// Page faults by stack id; empty unless they are counted.
  std::span<const std::uint64_t> faults() const;
  /// Of the live bytes of stacks, in units of TR_VARIANCE_UNIT.
  std::span<const std::uint64_t> variances() const;
  std::span<const tr_module> modules() const;
  /// By file number.
  std::span<tr_table> tables();
  std::span<std::uint32_t> unwind_words();
  std::span<tr_rule> rules();

  /// Number of ids that have ever been given out, at most the capacity; ids below it may be incomplete or free (space
  /// 0).
  std::uint32_t stack_count() const;
  /// The same for address spaces and for files.
  std::uint32_t space_count() const;
  std::uint32_t module_count() const;
  /// The limit of frames per stack.
  unsigned max_frames() const;
  /// The stack id that takes what has no stack of its own in an address space.
  heap::StackId no_stack_of(std::uint32_t space) const;

  /// The number under which the kernel half knows the file, a new one if it has not met it: the file is mapped for a
  /// moment and looked up like a mapping of a target.
  Result<std::uint32_t> identify(int fd);
  /// Whether any process maps the file. Right unless the file's mappings change at this very moment: ask twice.
  Result<bool> is_mapped(int fd);
  /// What is behind a number turned out to be another content: the file gets a new number when it is met again.
  void forget_module(std::uint32_t number);

  /// Makes a process traced in a new address space and returns that space's number.
  Result<std::uint32_t> add_process(pid_t pid, std::uint32_t hold);
  /// Whether the kernel half knows the process, traced or not.
  bool knows_process(pid_t pid) const;
  /// Makes sure that a process is never traced when all are.
  Result<void> exclude_process(pid_t pid);
  /// Changes when a process is held; it must be stopped or not have run yet, since the kernel half writes the entry at
  /// exec.
  Result<void> set_hold(pid_t pid, std::uint32_t hold);

  /// Records nothing any more of what happens in an address space; what is in the books stays.
  void mute(std::uint32_t space);
  /// Nobody is in the address space any more, as far as add_process() has said.
  void end_space(std::uint32_t space);
  /// Gives back the number and the stacks of an address space that nobody is in any more. Their numbers are used again.
  Result<void> release_space(std::uint32_t space);

  /// Changes how many of an address space's allocations are recorded from now on: all at level 0, one in
  /// sample_distance(level) bytes above. What is in the books keeps its weight. False when that distance would be out
  /// of bounds; nothing is changed then.
  bool set_sample_level(std::uint32_t space, std::uint32_t level);
  /// In bytes, 0 at level 0. Doubles with every level; level 1 is ObjectConfig::sample_bytes, or 512 KiB when that is
  /// 0.
  std::uint64_t sample_distance(std::uint32_t level) const;

  /// How many blocks are in the table of live blocks. Takes time in proportion to the table.
  std::uint64_t block_count() const;
  /// Removes the live blocks of address spaces that have ended. Takes time in proportion to the table, so the caller
  /// does it when much of the table is theirs. Returns how many blocks it removed.
  std::uint64_t remove_blocks_of_ended_spaces();

  /// Every misuse of an address space so far, in no order. Takes time in proportion to those of all.
  std::vector<FoundAnomaly> anomalies(std::uint32_t space) const;

  /// Becomes readable when events wait.
  int event_fd() const;
  /// Hands every waiting event to `handle`.
  void drain_events(const std::function<void(const tr_event&)>& handle);
  /// The stacks to be finished that have come with the events.
  std::vector<RawStack> take_raw_stacks();
  /// What was mapped and unmapped, as it has come with the events, in its order.
  std::vector<tr_memory_event> take_memory_events();

  bpf_program* program(Program program) const;
  int program_fd(Program program) const;

 private:
  class Impl;
  explicit BpfObject(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tracer::kernel
