// SPDX-License-Identifier: Apache-2.0
// What an ended address space had is used again, by others and for other things.
#include "tests/bpf_host/harness.h"

namespace tracer::bpf_host {
namespace {

constexpr std::uint32_t kChild = 5000;

class ReleaseTest : public HostTest {
 protected:
  /// A process of its own that has allocated from `stacks` places and exited.
  std::uint32_t run_child(std::uint32_t stacks, std::size_t depth = 20) {
    Thread child(kChild, kChild);
    host_process_fork(&main_.task, &child.task, 0);
    const std::uint32_t space = process(kChild)->space;
    for (std::uint32_t i = 0; i < stacks; ++i) {
      std::vector<std::uint64_t> callers;
      for (std::size_t n = 0; n < depth; ++n) callers.push_back(0x400000 + i * 0x1000 + n * 16);
      child.set_callers(callers);
      child.malloc(100, kHeap + i * 0x100);
    }
    child.task.live_threads = 0;
    host_process_exit(&child.task);
    kernel_.forget_thread(kChild);
    return space;
  }
  std::int32_t release(std::uint32_t space) { return host_release(&main_.task, space); }
};

TEST_F(ReleaseTest, StacksChunksAndTheNumberOfAnEndedSpaceAreUsedAgain) {
  const std::uint32_t space = run_child(5);
  const std::uint32_t stacks = globals_.next_stack;
  const std::uint32_t chunks = globals_.next_chunk;
  EXPECT_EQ(release(space), 5);
  EXPECT_EQ(kernel_.map("stack_ids").size(), 0U);
  EXPECT_EQ(kernel_.map("free_stacks").size(), 5U);
  EXPECT_EQ(kernel_.map("free_chunks").size(), std::size_t{chunks});

  for (int round = 0; round < 100; ++round) {
    const std::uint32_t again = run_child(5);
    EXPECT_EQ(again, space);
    EXPECT_EQ(totals(again).alloc_objects, 5U) << "begins at nothing";
    EXPECT_EQ(release(again), 5);
  }
  EXPECT_EQ(globals_.next_stack, stacks);
  EXPECT_EQ(globals_.next_chunk, chunks);
  EXPECT_EQ(lost(), 0U);
}

TEST_F(ReleaseTest, AStackInAUsedAgainPlaceHasItsOwnFrames) {
  release(run_child(3, 40));
  main_.set_callers({0x7000, 0x7010, 0x7020});
  main_.malloc(1, kHeap);
  EXPECT_EQ(frames(stack_id(kHeap)), (std::vector<std::uint64_t>{kMallocSite, 0x7000, 0x7010, 0x7020}));
  EXPECT_EQ(stack(stack_id(kHeap)).alloc_units, TR_OBJECT_UNITS);
}

TEST_F(ReleaseTest, BlocksOfTheFormerSpaceAreNotThoseOfTheOneThatHasItsNumber) {
  const std::uint32_t space = run_child(1);
  const std::uint32_t serial = this->space(space).serial;
  release(space);
  Thread child(kChild, kChild);
  host_process_fork(&main_.task, &child.task, 0);
  ASSERT_EQ(process(kChild)->space, space);
  EXPECT_NE(this->space(space).serial, serial);
  child.free(kHeap);
  EXPECT_EQ(this->space(space).free_unknown, 1U);
  EXPECT_EQ(totals(space), Totals{});
  EXPECT_EQ(lost(), 0U);
}

TEST_F(ReleaseTest, NothingIsLeftOfWhoHadTheNumber) {
  const std::uint32_t space = run_child(1);
  EXPECT_EQ(kernel_.at<tr_origin>("origins", space).parent_tgid, 1U);
  release(space);
  EXPECT_EQ(kernel_.at<tr_origin>("origins", space).parent_tgid, 0U);
  EXPECT_EQ(this->space(space).tgid, 0U);
}

TEST_F(ReleaseTest, ASpaceInUseIsNotReleased) {
  main_.malloc(1, kHeap);
  EXPECT_LT(release(space_), 0);
  EXPECT_LT(release(0), 0);
  EXPECT_LT(release(TR_MAX_SPACES), 0);
  EXPECT_EQ(totals().alloc_objects, 1U);
  EXPECT_EQ(kernel_.map("free_spaces").size(), 0U);
}

TEST_F(ReleaseTest, WhatHadNoStackOfItsOwnIsClearedToo) {
  config_.max_stacks = globals_.next_stack;
  const std::uint32_t space = run_child(2);
  EXPECT_EQ(stack(no_stack(space)).alloc_units, 2U * TR_OBJECT_UNITS);
  EXPECT_EQ(release(space), 0);
  EXPECT_EQ(stack(no_stack(space)).alloc_units, 0U);
}

TEST_F(ReleaseTest, AllStacksOfASpaceAreFoundFromItsNewest) {
  const std::uint32_t space = run_child(7);
  std::uint32_t found = 0;
  for (std::uint32_t id = this->space(space).newest_stack; id != 0;
       id = kernel_.at<tr_stack_link>("stack_links", id).older) {
    EXPECT_EQ(stack(id).space, space);
    ++found;
  }
  EXPECT_EQ(found, 7U);
}

}  // namespace
}  // namespace tracer::bpf_host
