// SPDX-License-Identifier: Apache-2.0
// Plain allocation and free: what is counted, and what is not.
#include "tests/bpf_host/harness.h"

namespace tracer::bpf_host {
namespace {

using MallocTest = HostTest;

TEST_F(MallocTest, CountsABlockAndItsFreeExactly) {
  globals_.tick = 17;
  globals_.generation = 3;
  main_.malloc(100, kHeap);

  ASSERT_NE(block(kHeap), nullptr);
  EXPECT_EQ(block(kHeap)->size, 100U);
  EXPECT_EQ(block(kHeap)->birth_tick, 17U);
  EXPECT_EQ(block(kHeap)->generation, 3U);
  EXPECT_EQ(totals(), (Totals{1, 100, 0, 0, 17}));
  EXPECT_EQ(space(space_).live_bytes, 100U);

  main_.free(kHeap);
  EXPECT_EQ(block(kHeap), nullptr);
  EXPECT_EQ(totals(), (Totals{1, 100, 1, 100, 0}));
  EXPECT_EQ(space(space_).live_bytes, 0U);
  EXPECT_EQ(space(space_).peak_bytes, 100U);
  EXPECT_EQ(space(space_).free_unknown, 0U);
  EXPECT_EQ(lost(), 0U);
}

TEST_F(MallocTest, ABlockOfNoBytesIsABlock) {
  main_.malloc(0, kHeap);
  EXPECT_EQ(totals().live_objects(), 1U);
  EXPECT_EQ(space(space_).live_bytes, 0U);
}

TEST_F(MallocTest, CallocMultiplies) {
  main_.call(kCalloc, {10, 24}, kHeap);
  EXPECT_EQ(block(kHeap)->size, 240U);
}

TEST_F(MallocTest, CallocOfNothingTimesAnythingIsNothing) {
  main_.call(kCalloc, {0, ~0ULL}, kHeap);
  EXPECT_EQ(block(kHeap)->size, 0U);
}

TEST_F(MallocTest, ACallocWhoseProductOverflowsHasTheLargestSize) {
  main_.call(kCalloc, {1ULL << 33, 1ULL << 33}, kHeap);  // no allocator returns this, but were one to
  constexpr std::uint64_t kLargest = (1ULL << 54) - 1;   // that a block in the books can have
  EXPECT_EQ(block(kHeap)->size, kLargest);
  main_.call(kCalloc, {3, ~0ULL / 3}, kHeap + 16);  // the largest product that fits
  EXPECT_EQ(block(kHeap + 16)->size, kLargest);
}

TEST_F(MallocTest, ACallocThatOverflowsFailsOnce) {
  main_.call(kCalloc, {1ULL << 33, 1ULL << 33}, 0);
  EXPECT_EQ(space(space_).failed_objects, 1U);
  EXPECT_EQ(totals(), Totals{});
}

TEST_F(MallocTest, AlignedAllocationTakesItsSizeFromTheSecondArgument) {
  main_.call(kMemalign, {4096, 300}, kHeap);
  EXPECT_EQ(block(kHeap)->size, 300U);
}

TEST_F(MallocTest, AFailedMallocIsCountedOnceAndNotRecorded) {
  main_.malloc(1ULL << 60, 0);
  EXPECT_EQ(space(space_).failed_objects, 1U);
  EXPECT_EQ(totals(), Totals{});
  EXPECT_EQ(kernel_.map("blocks").size(), 0U);
  EXPECT_EQ(space(space_).peak_bytes, 0U);
}

TEST_F(MallocTest, FreeOfNullIsNothing) {
  main_.free(0);
  EXPECT_EQ(space(space_).free_unknown, 0U);
  EXPECT_EQ(totals(), Totals{});
}

TEST_F(MallocTest, FreeOfABlockNeverSeenIsUnknown) {
  main_.malloc(100, kHeap);
  main_.free(kHeap + 64);
  EXPECT_EQ(space(space_).free_unknown, 1U);
  EXPECT_EQ(totals().free_objects, 0U);
  EXPECT_EQ(space(space_).live_bytes, 100U);
}

TEST_F(MallocTest, TheSecondFreeOfADoubleFreeIsUnknown) {
  main_.malloc(100, kHeap);
  main_.free(kHeap);
  main_.free(kHeap);
  EXPECT_EQ(space(space_).free_unknown, 1U);
  EXPECT_EQ(totals().free_objects, 1U);
  EXPECT_EQ(space(space_).live_bytes, 0U);
}

TEST_F(MallocTest, AnotherThreadMayFreeABlock) {
  Thread other(kTgid, 4243);
  main_.malloc(100, kHeap);
  other.free(kHeap);
  EXPECT_EQ(totals(), (Totals{1, 100, 1, 100, 0}));
  EXPECT_EQ(space(space_).live_bytes, 0U);
}

TEST_F(MallocTest, TheSameAddressInTwoProcessesIsTwoBlocks) {
  const std::uint32_t second = attach(5000);
  Thread other(5000, 5000);
  main_.malloc(100, kHeap);
  other.malloc(30, kHeap);
  other.free(kHeap);
  EXPECT_EQ(totals(space_), (Totals{1, 100, 0, 0, 0}));
  EXPECT_EQ(totals(second), (Totals{1, 30, 1, 30, 0}));
  EXPECT_EQ(space(second).live_bytes, 0U);
}

TEST_F(MallocTest, AWrapperThatPassesTheBlockOnIsOneFree) {
  main_.malloc(100, kHeap);
  main_.free(kHeap);
  main_.sp -= 64;
  main_.free(kHeap);
  EXPECT_EQ(totals().free_objects, 1U);
  EXPECT_EQ(space(space_).free_unknown, 0U);

  main_.free(kHeap);  // once more is one too many
  EXPECT_EQ(space(space_).free_unknown, 1U);
}

TEST_F(MallocTest, ADeeperFreeAfterTheBlockWasHandedOutAgainIsAFree) {
  main_.malloc(100, kHeap);
  main_.free(kHeap);
  main_.malloc(50, kHeap);
  main_.sp -= 64;
  main_.free(kHeap);
  EXPECT_EQ(totals(), (Totals{2, 150, 2, 150, 0}));
  main_.sp += 32;
  main_.free(kHeap);
  EXPECT_EQ(space(space_).free_unknown, 1U);
}

TEST_F(MallocTest, PosixMemalignReadsTheBlockThroughItsPointer) {
  const std::uint64_t out = main_.sp + 0x100;
  main_.enter(kPosixMemalign, {out, 64, 500});
  kernel_.memory.write(out, kHeap);
  main_.leave(0);
  ASSERT_NE(block(kHeap), nullptr);
  EXPECT_EQ(block(kHeap)->size, 500U);
}

TEST_F(MallocTest, AFailedPosixMemalignIsCountedAndItsPointerNotRead) {
  const std::uint64_t out = main_.sp + 0x100;
  main_.enter(kPosixMemalign, {out, 64, 500});
  kernel_.memory.write(out, kHeap);
  main_.leave(12);  // ENOMEM
  EXPECT_EQ(space(space_).failed_objects, 1U);
  EXPECT_EQ(kernel_.map("blocks").size(), 0U);
}

TEST_F(MallocTest, OnlyTheLow32BitsOfAnIntResultCount) {
  const std::uint64_t out = main_.sp + 0x100;
  main_.enter(kPosixMemalign, {out, 64, 500});
  kernel_.memory.write(out, kHeap);
  main_.leave(0xdeadbeef00000000);  // the upper half of rax is anything
  EXPECT_NE(block(kHeap), nullptr);
}

TEST_F(MallocTest, AnOutPointerThatCannotBeReadIsALoss) {
  main_.call(kPosixMemalign, {0x10, 64, 500}, 0);
  EXPECT_EQ(lost(TR_LOSS_READ_FAULT), 1U);
  EXPECT_EQ(space(space_).failed_objects, 0U);
  EXPECT_EQ(totals(), Totals{});
  main_.malloc(8, kHeap);  // the thread goes on
  EXPECT_EQ(totals().alloc_objects, 1U);
  EXPECT_EQ(lost(), 1U);
}

TEST_F(MallocTest, AnUntracedProcessDoesNothing) {
  Thread stranger(5000, 5000);
  stranger.malloc(100, kHeap);
  stranger.free(kHeap);
  EXPECT_EQ(totals(), Totals{});
  EXPECT_EQ(kernel_.map("blocks").size(), 0U);
  EXPECT_EQ(lost(), 0U);
}

TEST_F(MallocTest, NothingIsRecordedBeforeRecordingBegins) {
  globals_.recording = 0;
  main_.malloc(100, kHeap);
  main_.free(kHeap);
  EXPECT_EQ(totals(), Totals{});
  EXPECT_EQ(space(space_).free_unknown, 0U);
}

TEST_F(MallocTest, ACallInFlightCompletesAfterRecordingHasEnded) {
  main_.enter(kMalloc, {100});
  globals_.recording = 0;
  main_.leave(kHeap);
  EXPECT_EQ(totals(), (Totals{1, 100, 0, 0, 0}));
  EXPECT_EQ(space(space_).live_bytes, 100U);
}

TEST_F(MallocTest, AThreadWithoutStateIsALoss) {
  kernel_.has_thread_memory = false;
  main_.malloc(100, kHeap);
  EXPECT_EQ(lost(TR_LOSS_THREAD_STATE), 1U);
  EXPECT_EQ(totals(), Totals{});
}

}  // namespace
}  // namespace tracer::bpf_host
