// SPDX-License-Identifier: Apache-2.0
// realloc: one free and one allocation that happen at two moments, or neither.
#include "tests/bpf_host/harness.h"

namespace tracer::bpf_host {
namespace {

class ReallocTest : public HostTest {
 protected:
  static constexpr std::uint64_t kMoved = kHeap + 0x1000;

  ReallocTest() {
    globals_.tick = 5;
    globals_.generation = 2;
    main_.malloc(100, kHeap);
    globals_.tick = 50;
    globals_.generation = 4;
    main_.set_callers({0x555555556000, 0x555555556100});  // a stack of its own for what follows
  }
};

TEST_F(ReallocTest, GrowthInPlaceIsAFreeAndAnAllocation) {
  const std::uint32_t old_stack = stack_id(kHeap);
  main_.realloc(kHeap, 300, kHeap);
  EXPECT_EQ(block(kHeap)->size, 300U);
  EXPECT_NE(stack_id(kHeap), old_stack);
  EXPECT_EQ(totals(), (Totals{2, 400, 1, 100, 5}));
  EXPECT_EQ(stack(old_stack).free_bytes, 100U);
  EXPECT_EQ(space(space_).live_bytes, 300U);
}

TEST_F(ReallocTest, AMoveLeavesNothingAtTheOldAddress) {
  main_.realloc(kHeap, 300, kMoved);
  EXPECT_EQ(block(kHeap), nullptr);
  EXPECT_EQ(block(kMoved)->size, 300U);
  EXPECT_EQ(space(space_).live_bytes, 300U);
  EXPECT_EQ(space(space_).free_unknown, 0U);
}

TEST_F(ReallocTest, ShrinkingLowersLiveBytesAndNotThePeak) {
  main_.realloc(kHeap, 10, kHeap);
  EXPECT_EQ(space(space_).live_bytes, 10U);
  EXPECT_EQ(space(space_).peak_bytes, 100U);
}

TEST_F(ReallocTest, ThePeakDoesNotCountTheOldAndTheNewSizeTogether) {
  main_.realloc(kHeap, 120, kMoved);
  EXPECT_EQ(space(space_).peak_bytes, 120U);
}

TEST_F(ReallocTest, TheBlockKeepsItsBirth) {
  main_.realloc(kHeap, 300, kMoved);
  EXPECT_EQ(block(kMoved)->birth_tick, 5U);
  EXPECT_EQ(block(kMoved)->generation, 2U);
  EXPECT_EQ(young(), (std::pair<std::uint64_t, std::uint64_t>{1, 300}));
}

TEST_F(ReallocTest, ABlockThatIsNoLongerYoungDoesNotBecomeYoungByGrowing) {
  while (globals_.generation < 2 + TR_YOUNG_WINDOW) advance_generation();
  main_.realloc(kHeap, 300, kMoved);
  EXPECT_EQ(young(), (std::pair<std::uint64_t, std::uint64_t>{0, 0}));
}

TEST_F(ReallocTest, AFailurePutsTheBlockBackAsItWas) {
  const tr_block before = *block(kHeap);
  main_.realloc(kHeap, 1ULL << 60, 0);
  ASSERT_NE(block(kHeap), nullptr);
  EXPECT_EQ(block(kHeap)->size, before.size);
  EXPECT_EQ(block(kHeap)->stack_id, before.stack_id);
  EXPECT_EQ(block(kHeap)->birth_tick, before.birth_tick);
  EXPECT_EQ(block(kHeap)->generation, before.generation);
  EXPECT_EQ(totals(), (Totals{1, 100, 0, 0, 5}));
  EXPECT_EQ(space(space_).live_bytes, 100U);
  EXPECT_EQ(space(space_).failed_objects, 1U);
}

TEST_F(ReallocTest, OfNullIsAnAllocation) {
  main_.realloc(0, 40, kMoved);
  EXPECT_EQ(block(kMoved)->birth_tick, 50U);
  EXPECT_EQ(totals(), (Totals{2, 140, 0, 0, 55}));
  EXPECT_EQ(space(space_).free_unknown, 0U);
}

TEST_F(ReallocTest, OfNullThatFailsIsAFailedAllocation) {
  main_.realloc(0, 1ULL << 60, 0);
  EXPECT_EQ(space(space_).failed_objects, 1U);
  EXPECT_EQ(space(space_).free_unknown, 0U);
}

TEST_F(ReallocTest, ToNoBytesThatReturnsNullHasFreedTheBlock) {
  main_.realloc(kHeap, 0, 0);
  EXPECT_EQ(block(kHeap), nullptr);
  EXPECT_EQ(totals(), (Totals{1, 100, 1, 100, 0}));
  EXPECT_EQ(space(space_).live_bytes, 0U);
  EXPECT_EQ(space(space_).failed_objects, 0U);
}

TEST_F(ReallocTest, ToNoBytesThatReturnsABlockIsAnEmptyBlock) {
  main_.realloc(kHeap, 0, kMoved);
  EXPECT_EQ(block(kMoved)->size, 0U);
  EXPECT_EQ(space(space_).live_bytes, 0U);
  EXPECT_EQ(totals().live_objects(), 1U);
}

TEST_F(ReallocTest, OfAnUnknownBlockIsAnUnknownFreeAndAnAllocation) {
  main_.realloc(kHeap + 64, 70, kMoved);
  EXPECT_EQ(space(space_).free_unknown, 1U);
  EXPECT_EQ(block(kMoved)->birth_tick, 50U);
  EXPECT_EQ(space(space_).live_bytes, 170U);
}

TEST_F(ReallocTest, OfAnUnknownBlockThatFailsFreesNothing) {
  main_.realloc(kHeap + 64, 1ULL << 60, 0);
  EXPECT_EQ(space(space_).free_unknown, 0U);
  EXPECT_EQ(space(space_).failed_objects, 1U);
  EXPECT_EQ(kernel_.map("blocks").size(), 1U);
}

TEST_F(ReallocTest, OfAnUnknownBlockToNoBytesIsAnUnknownFree) {
  main_.realloc(kHeap + 64, 0, 0);
  EXPECT_EQ(space(space_).free_unknown, 1U);
  EXPECT_EQ(space(space_).failed_objects, 0U);
}

TEST_F(ReallocTest, ReallocarrayMultipliesAndKnowsTheBlock) {
  main_.call(kReallocarray, {kHeap, 10, 30}, kMoved);
  EXPECT_EQ(block(kMoved)->size, 300U);
  EXPECT_EQ(block(kHeap), nullptr);
}

TEST_F(ReallocTest, AReallocarrayThatOverflowsLeavesTheBlock) {
  main_.call(kReallocarray, {kHeap, 1ULL << 40, 1ULL << 40}, 0);
  EXPECT_EQ(block(kHeap)->size, 100U);
  EXPECT_EQ(space(space_).failed_objects, 1U);
}

TEST_F(ReallocTest, AnotherThreadMayGetTheOldAddressBeforeItReturns) {
  Thread other(kTgid, 4243);
  main_.enter(kRealloc, {kHeap, 300});
  other.malloc(20, kHeap);
  main_.leave(kMoved);
  EXPECT_EQ(block(kHeap)->size, 20U);
  EXPECT_EQ(block(kMoved)->size, 300U);
  EXPECT_EQ(space(space_).live_bytes, 320U);
  EXPECT_EQ(lost(), 0U);
}

TEST_F(ReallocTest, AFailureThatFindsNoRoomFreesTheBlockInTheBooksAndIsALoss) {
  kernel_.set_capacity("blocks", 1);
  main_.malloc(60, kHeap);
  const std::uint64_t live = space(space_).live_bytes;
  Thread other(kTgid, 4243);
  main_.enter(kRealloc, {kHeap, 1ULL << 60});
  other.malloc(20, kMoved);
  main_.leave(0);
  EXPECT_EQ(lost(TR_LOSS_BLOCKS_FULL), 1U);
  EXPECT_EQ(block(kHeap), nullptr);
  EXPECT_EQ(space(space_).live_bytes, live - 60 + 20);
  EXPECT_EQ(totals().live_bytes(), space(space_).live_bytes);
}

TEST_F(ReallocTest, AnAbandonedReallocDoesNotLoseItsBlock) {
  main_.enter(kRealloc, {kHeap, 300});
  main_.sp += 0x200;  // a signal handler has jumped out of it
  main_.malloc(1, kMoved);
  EXPECT_EQ(lost(TR_LOSS_CALL_ABANDONED), 1U);
  ASSERT_NE(block(kHeap), nullptr);
  main_.free(kHeap);
  EXPECT_EQ(space(space_).live_bytes, 1U);
  EXPECT_EQ(totals().live_bytes(), 1U);
  EXPECT_EQ(space(space_).free_unknown, 0U);
}

}  // namespace
}  // namespace tracer::bpf_host
