// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "tests/bpf_host/fake_kernel.h"

namespace tracer::bpf_host {

// What the probed functions are, with the arguments of their C prototypes.
constexpr std::uint64_t kMalloc = TR_COOKIE(TR_CALL_ALLOC, 1, 0, 0);
constexpr std::uint64_t kCalloc = TR_COOKIE(TR_CALL_ALLOC, 2, 1, 0);
constexpr std::uint64_t kMemalign = TR_COOKIE(TR_CALL_ALLOC, 2, 0, 0);
constexpr std::uint64_t kPosixMemalign = TR_COOKIE(TR_CALL_ALLOC_OUT, 3, 0, 1);
constexpr std::uint64_t kRealloc = TR_COOKIE(TR_CALL_REALLOC, 2, 0, 1);
constexpr std::uint64_t kReallocarray = TR_COOKIE(TR_CALL_REALLOC, 3, 2, 1);
constexpr std::uint64_t kNew = TR_COOKIE(TR_CALL_ALLOC, 1, 0, 0) | TR_COOKIE_EXITS;
constexpr std::uint64_t kThrow = TR_COOKIE(TR_CALL_THROW, 0, 0, 0);
constexpr std::uint64_t kXallocx = TR_COOKIE(TR_CALL_RESIZE, 2, 0, 1);
constexpr std::uint64_t kFree = TR_COOKIE(TR_CALL_FREE, 0, 0, 1);

constexpr std::uint64_t kMallocSite = 0x7ffff7e4a3c4;  // the probed instruction
constexpr std::uint64_t kTrampoline = 0x7fffffffe000;
constexpr std::uint64_t kHeap = 0x555555559000;  // where tests let blocks lie
constexpr std::uint32_t kTgid = 4242;
constexpr std::uint32_t kStackCapacity = 1024;  // as bpf/maps.bpf.h declares it

struct Arguments {
  std::uint64_t first = 0;
  std::uint64_t second = 0;
  std::uint64_t third = 0;
  std::uint64_t fourth = 0;
};

/// A thread of a target: a task, a stack in target memory, and calls of probed functions as the kernel reports them.
///
/// A call is enter() and leave(); in between the thread's return slot holds the trampoline, as the kernel leaves it.
/// `sp` is the stack pointer at a function's entry; a test makes inner calls by lowering it.
class Thread {
 public:
  static constexpr std::uint64_t kStackSize = 0x10000;

  /// Maps the thread's stack and gives it a caller.
  Thread(std::uint32_t tgid, std::uint32_t pid);

  /// Who calls from now on: return addresses from the innermost outwards, linked by frame pointers down to a null one.
  void set_callers(const std::vector<std::uint64_t>& return_addresses);
  /// Frame `n` of the chain (0: the caller's): where its record lies.
  std::uint64_t record(std::size_t n) const { return first_record() + n * kFrameSize; }
  void set_record(std::uint64_t at, std::uint64_t frame_pointer, std::uint64_t return_address);

  void enter(std::uint64_t cookie, const Arguments& arguments);
  void leave(std::uint64_t result);
  /// The call that was entered last, an open one, comes by an exit of its function. `registers.sp` is set.
  void exit(std::uint64_t cookie, host_registers registers);
  /// A whole call.
  void call(std::uint64_t cookie, const Arguments& arguments, std::uint64_t result);

  void malloc(std::uint64_t size, std::uint64_t address) { call(kMalloc, {size}, address); }
  void realloc(std::uint64_t old, std::uint64_t size, std::uint64_t address) { call(kRealloc, {old, size}, address); }
  void free(std::uint64_t address) { enter(kFree, {address}); }
  void announce() const { host_library_entry(&task); }

  host_task task{};
  std::uint64_t ip = kMallocSite;
  std::uint64_t sp = 0;
  std::uint64_t bp = 0;
  std::uint64_t stack_start() const;

 private:
  static constexpr std::uint64_t kFrameSize = 48;

  std::uint64_t first_record() const { return stack_start() + kStackSize / 2; }

  std::uint64_t return_address_ = 0;
};

/// Sums over the stacks of one space, or the totals of one stack.
struct Totals {
  std::uint64_t alloc_objects = 0;
  std::uint64_t alloc_bytes = 0;
  std::uint64_t free_objects = 0;
  std::uint64_t free_bytes = 0;
  std::uint64_t birth_ticks = 0;

  std::uint64_t live_objects() const { return alloc_objects - free_objects; }
  std::uint64_t live_bytes() const { return alloc_bytes - free_bytes; }
  Totals& operator+=(const Totals& other);
  bool operator==(const Totals&) const = default;
};

/// Of live blocks, those of before a pause.
struct Unverified {
  std::uint64_t objects = 0;
  std::uint64_t bytes = 0;
};

/// Whole blocks, rounded.
constexpr std::uint64_t objects_of(std::uint64_t units) { return (units + TR_OBJECT_UNITS / 2) / TR_OBJECT_UNITS; }

/// A fresh kernel with one traced process, recording.
class HostTest : public testing::Test {
 protected:
  HostTest();
  ~HostTest() override;

  /// As the tracer attaches: a new space, and the process in it.
  std::uint32_t attach(std::uint32_t tgid, std::uint32_t hold = 0);
  /// As user space changes the sampling distance of an address space.
  void sample(std::uint32_t of_space, std::uint16_t level);
  /// As user space ends a generation.
  void advance_generation();
  /// As user space interrupts recording, with `meanwhile` done unseen.
  void pause(const std::function<void()>& meanwhile = [] {});
  std::uint32_t no_stack(std::uint32_t of_space) const { return config_.max_stacks + of_space; }
  Unverified unverified();  ///< over all stacks
  /// Every stack that has been given out, the spaces' own included.
  std::vector<std::uint32_t> stack_ids() const;

  const tr_process* process(std::uint32_t tgid) { return kernel_.find<tr_process>("processes", tgid); }
  tr_space& space(std::uint32_t id) { return kernel_.at<tr_space>("spaces", id); }
  tr_stack& stack(std::uint32_t id) { return kernel_.at<tr_stack>("stacks", id); }
  const tr_block* block(std::uint64_t address, std::uint32_t in_space = 1);
  std::uint32_t stack_id(std::uint64_t address) { return block(address)->stack_id; }
  std::uint64_t stored_frame(const tr_stack& stack, std::uint32_t i);
  std::vector<std::uint64_t> frames(std::uint32_t stack_id);
  static Totals totals_of(const tr_stack& stack);
  Totals totals(std::uint32_t of_space = 1);
  /// Live and not older than the window: objects and bytes over all stacks.
  std::pair<std::uint64_t, std::uint64_t> young();
  std::uint64_t lost(tr_loss reason) const { return globals_.losses[reason]; }
  std::uint64_t lost() const;
  std::vector<tr_event> events_of(tr_event_type type);

  FakeKernel& kernel_ = FakeKernel::instance();
  tr_globals& globals_ = *host_globals();
  tr_config& config_ = *host_config();
  std::uint32_t space_;  ///< of kTgid
  Thread main_;
};

}  // namespace tracer::bpf_host
