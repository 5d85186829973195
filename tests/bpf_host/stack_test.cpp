// SPDX-License-Identifier: Apache-2.0
// The store of stacks: each once, none mistaken for another, totals kept when it is full.
#include <algorithm>
#include <numeric>

#include "tests/bpf_host/harness.h"

namespace tracer::bpf_host {
namespace {

class StackTest : public HostTest {
 protected:
  using Addresses = std::vector<std::uint64_t>;

  std::uint32_t malloc_from(const Addresses& callers) { return malloc_from(main_, callers); }
  std::uint32_t malloc_from(Thread& thread, const Addresses& callers) {
    thread.set_callers(callers);
    next_ += 16;
    thread.malloc(1, next_);
    return stack_id(next_);
  }
  void forge(std::uint64_t key, std::uint32_t id) { kernel_.map("stack_ids").update(&key, &id, 0); }
  static Addresses chain(std::size_t count, std::uint64_t first = 0x555555550000) {
    Addresses out(count);
    std::iota(out.begin(), out.end(), first);
    return out;
  }

  const Addresses a_ = {0xa000, 0xa100, 0xa200};
  const Addresses b_ = {0xb000, 0xb100, 0xb200};
  std::uint64_t next_ = kHeap;
};

TEST_F(StackTest, EqualStacksAreOne) {
  const std::uint32_t a = malloc_from(a_);
  const std::uint32_t b = malloc_from(b_);
  EXPECT_NE(a, b);
  EXPECT_EQ(malloc_from(a_), a);
  EXPECT_EQ(malloc_from(b_), b);
  EXPECT_EQ(totals_of(stack(a)).alloc_objects, 2U);
  EXPECT_EQ(kernel_.map("stack_ids").size(), 2U);
}

TEST_F(StackTest, WhatALongerStackLeftBehindIsNotPartOfAStack) {
  malloc_from(chain(12, 0x1000));
  const std::uint32_t a = malloc_from(a_);
  malloc_from(chain(12, 0x2000));
  EXPECT_EQ(malloc_from(a_), a);
}

TEST_F(StackTest, AStackIsAnnouncedOnceWithItsNumber) {
  const std::uint32_t a = malloc_from(a_);
  malloc_from(a_);
  const std::vector<tr_event> events = events_of(TR_EVENT_STACK);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].value, a);
  EXPECT_EQ(events[0].space, space_);
  EXPECT_EQ(events[0].tgid, kTgid);
}

TEST_F(StackTest, AStackThatFindsNoRoomForItsEventIsStoredAllTheSame) {
  kernel_.set_capacity("events", 0);
  EXPECT_EQ(totals_of(stack(malloc_from(a_))).alloc_objects, 1U);
  EXPECT_EQ(lost(), 0U);
}

TEST_F(StackTest, StacksOfAllLengthsAreStoredWhole) {
  for (const std::size_t callers : {1U, 14U, 15U, 16U, 31U, 32U, 100U, 126U}) {
    Addresses expected = chain(callers, 0x10000 * callers);
    const std::uint32_t id = malloc_from(expected);
    expected.insert(expected.begin(), kMallocSite);
    EXPECT_EQ(frames(id), expected);
    EXPECT_EQ(malloc_from(chain(callers, 0x10000 * callers)), id);
  }
  EXPECT_EQ(lost(), 0U);
}

TEST_F(StackTest, ADifferenceInAnyFrameMakesAnotherStack) {
  const Addresses base = chain(126);
  std::vector<std::uint32_t> ids = {malloc_from(base)};
  for (const std::size_t frame : {0U, 13U, 14U, 15U, 62U, 125U}) {
    Addresses changed = base;
    changed[frame] ^= 0x100000;
    ids.push_back(malloc_from(changed));
  }
  ids.push_back(malloc_from(chain(125)));
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(std::unique(ids.begin(), ids.end()), ids.end());
}

TEST_F(StackTest, TheSameFramesInAnotherSpaceAreAnotherStack) {
  const std::uint32_t second = attach(5000);
  Thread other(5000, 5000);
  const std::uint32_t mine = malloc_from(a_);
  other.set_callers(a_);
  other.malloc(1, kHeap);
  const std::uint32_t its = block(kHeap, second)->stack_id;
  EXPECT_NE(its, mine);
  EXPECT_EQ(stack(its).space, second);
  EXPECT_EQ(frames(its), frames(mine));
}

TEST_F(StackTest, AStackWhoseHashIsTakenIsStoredUnderTheNextKey) {
  const std::uint32_t a = malloc_from(a_);
  const std::uint64_t key = stack(a).hash;
  const std::uint32_t b = malloc_from(b_);
  forge(key, b);  // as if b had the hash of a

  const std::uint32_t neighbour = malloc_from(a_);
  EXPECT_NE(neighbour, a);
  EXPECT_NE(neighbour, b);
  EXPECT_EQ(stack(neighbour).hash, key + 1);
  EXPECT_EQ(frames(neighbour), frames(a));
  EXPECT_EQ(malloc_from(a_), neighbour) << "found again past the collision";
  EXPECT_EQ(totals_of(stack(b)).alloc_objects, 1U);
  EXPECT_EQ(lost(), 0U);
}

TEST_F(StackTest, EachPartOfAStackIsComparedNotOnlyItsHash) {
  const std::uint32_t a = malloc_from(a_);
  for (const auto& change : std::vector<std::function<void(tr_stack&)>>{
           [](tr_stack& stack) { stack.end ^= 1; }, [](tr_stack& stack) { stack.space ^= 8; },
           [](tr_stack& stack) { stack.frame_count ^= 1; }, [](tr_stack& stack) { stack.first_chunk = ~0U; },
           [this](tr_stack& stack) { kernel_.at<tr_stack_chunk>("stack_chunks", stack.first_chunk).frame[3] ^= 1; }}) {
    const tr_stack saved = stack(a);
    change(stack(a));
    EXPECT_NE(malloc_from(a_), a);
    stack(a) = saved;
  }
}

TEST_F(StackTest, AHashThatIsTakenTooOftenIsALossAndItsTotalsAreKept) {
  const std::uint64_t key = stack(malloc_from(a_)).hash;
  const std::uint32_t b = malloc_from(b_);
  for (std::uint64_t i = 0; i < 64; ++i) forge(key + i, b);
  EXPECT_EQ(malloc_from(a_), no_stack(space_));
  EXPECT_EQ(lost(TR_LOSS_STACK_COLLISION), 1U);
  EXPECT_EQ(totals().alloc_objects, 3U);
}

TEST_F(StackTest, WhenStacksAreUsedUpTotalsGoToTheSpacesOwnEntryExactly) {
  const std::uint32_t a = malloc_from(a_);
  config_.max_stacks = globals_.next_stack;
  main_.set_callers(b_);
  main_.malloc(300, kHeap);
  EXPECT_EQ(stack_id(kHeap), no_stack(space_));
  main_.malloc(40, kHeap + 0x1000);
  main_.free(kHeap);
  EXPECT_EQ(lost(TR_LOSS_STACKS_FULL), 2U);
  const tr_stack& rest = stack(no_stack(space_));
  EXPECT_EQ(totals_of(rest).alloc_objects, 2U);
  EXPECT_EQ(rest.alloc_bytes, 340U);
  EXPECT_EQ(totals_of(rest).free_objects, 1U);
  EXPECT_EQ(rest.free_bytes, 300U);
  EXPECT_EQ(malloc_from(a_), a) << "what is stored is found as before";
  EXPECT_EQ(globals_.next_stack, config_.max_stacks) << "the counter does not run away";
}

TEST_F(StackTest, WhenChunksAreUsedUpTotalsGoToTheSpacesOwnEntryToo) {
  config_.max_chunks = 2;
  malloc_from(chain(20));
  const std::uint32_t next_stack = globals_.next_stack;
  for (std::uint64_t i = 0; i < 5; ++i) EXPECT_EQ(malloc_from(chain(3, 0x1000 + i * 0x1000)), no_stack(space_));
  EXPECT_EQ(lost(TR_LOSS_STACKS_FULL), 5U);
  EXPECT_EQ(globals_.next_stack, next_stack + 1) << "the number is given back each time";
  EXPECT_EQ(globals_.next_chunk, 2U);
}

TEST_F(StackTest, AStackThatNeedsMoreChunksThanThereAreIsNotStoredInPart) {
  config_.max_chunks = 2;
  EXPECT_EQ(malloc_from(chain(60)), no_stack(space_));
  EXPECT_NE(malloc_from(chain(3)), no_stack(space_)) << "a shorter one still fits";
  EXPECT_EQ(kernel_.map("free_chunks").size(), 1U) << "and takes one of those that were given back";
  EXPECT_EQ(lost(TR_LOSS_STACKS_FULL), 1U);
}

TEST_F(StackTest, ASpaceThatBeginsWhenStacksAreUsedUpHasItsOwnEntryAllTheSame) {
  config_.max_stacks = globals_.next_stack;
  Thread child(5000, 5000);
  host_process_fork(&main_.task, &child.task, 0);
  const std::uint32_t born = process(5000)->space;
  child.malloc(100, kHeap);
  EXPECT_EQ(totals(born).alloc_bytes, 100U);
  EXPECT_EQ(stack(no_stack(born)).alloc_bytes, 100U);
  EXPECT_EQ(space(born).live_bytes, 100U);
}

TEST_F(StackTest, AThreadThatComesSecondWithTheSameStackUsesTheFirstOnesEntry) {
  Thread other(kTgid, 4243);
  std::uint32_t first = 0;
  kernel_.interrupt_before(FakeKernel::Step::kUpdate, "stack_ids", [&] { first = malloc_from(other, a_); });
  main_.set_callers(a_);
  main_.malloc(1, kHeap);
  EXPECT_EQ(stack_id(kHeap), first);
  EXPECT_EQ(totals_of(stack(first)).alloc_objects, 2U);
  EXPECT_EQ(lost(), 0U);

  const std::uint32_t before = globals_.next_stack;
  const std::uint32_t spare = malloc_from(b_);
  EXPECT_EQ(globals_.next_stack, before) << "the number reserved in vain is used now";
  EXPECT_EQ(stack(spare).space, space_);
}

TEST_F(StackTest, AThreadThatComesSecondWithAnotherStackUnderTheSameHashMovesOn) {
  const std::uint32_t b = malloc_from(b_);
  kernel_.interrupt_before(FakeKernel::Step::kUpdate, "stack_ids",
                           [&] { forge(stack(globals_.next_stack - 1).hash, b); });
  const std::uint32_t a = malloc_from(a_);
  EXPECT_NE(a, b);
  EXPECT_EQ(totals_of(stack(a)).alloc_objects, 1U);
  EXPECT_EQ(frames(a)[1], a_[0]);
  EXPECT_EQ(malloc_from(a_), a);
  EXPECT_EQ(lost(), 0U);
}

}  // namespace
}  // namespace tracer::bpf_host
