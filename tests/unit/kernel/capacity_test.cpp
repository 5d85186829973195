// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "heap/snapshot.h"
#include "kernel/bpf_object.h"

namespace tracer::kernel {
namespace {

TEST(CapacityTest, GrowsWithTheBudgetAndStaysWithinIt) {
  const Capacity small = Capacity::of_budget(16ULL << 20, true, false);
  const Capacity large = Capacity::of_budget(1ULL << 30, true, false);
  EXPECT_GT(large.blocks, small.blocks * 32);
  EXPECT_GT(large.stacks, small.stacks * 32);
  EXPECT_LE(std::uint64_t{large.blocks} * 96, 1ULL << 30);
}

TEST(CapacityTest, UnwindTablesTakeAQuarterAtMost) {
  EXPECT_EQ(Capacity::of_budget(64ULL << 20, true, false).unwind_words, 4U << 20);
  EXPECT_EQ(Capacity::of_budget(8ULL << 30, true, false).unwind_words, 16U << 20) << "64 MiB are enough";
  const Capacity without = Capacity::of_budget(64ULL << 20, false, false);
  EXPECT_LE(without.unwind_words, 2U);
  EXPECT_GT(without.blocks, Capacity::of_budget(64ULL << 20, true, false).blocks);
}

TEST(CapacityTest, IsNeverEmpty) {
  const Capacity none = Capacity::of_budget(0, true, false);
  EXPECT_GT(none.blocks, 0U);
  EXPECT_GT(none.stacks, 0U);
  EXPECT_GE(none.chunks, none.stacks);
}

TEST(LossTest, BothHalvesNameTheSameReasonsInTheSameOrder) {
  using heap::Loss;
  EXPECT_EQ(static_cast<int>(Loss::kBlocksFull), TR_LOSS_BLOCKS_FULL);
  EXPECT_EQ(static_cast<int>(Loss::kStacksFull), TR_LOSS_STACKS_FULL);
  EXPECT_EQ(static_cast<int>(Loss::kStackCollision), TR_LOSS_STACK_COLLISION);
  EXPECT_EQ(static_cast<int>(Loss::kThreadState), TR_LOSS_THREAD_STATE);
  EXPECT_EQ(static_cast<int>(Loss::kCallAbandoned), TR_LOSS_CALL_ABANDONED);
  EXPECT_EQ(static_cast<int>(Loss::kReadFault), TR_LOSS_READ_FAULT);
  EXPECT_EQ(static_cast<int>(Loss::kFreeMissed), TR_LOSS_FREE_MISSED);
  EXPECT_EQ(static_cast<int>(Loss::kSpacesFull), TR_LOSS_SPACES_FULL);
  EXPECT_EQ(static_cast<int>(Loss::kEventsFull), TR_LOSS_EVENTS_FULL);
  EXPECT_EQ(static_cast<int>(heap::kLossCount), TR_LOSS_COUNT);
}

TEST(Capacity, OfTheWholeMachineHasRoomForMoreStacks) {
  const Capacity one = Capacity::of_budget(256ULL << 20, true, false);
  const Capacity all = Capacity::of_budget(256ULL << 20, true, true);
  EXPECT_GT(all.stacks, one.stacks + one.stacks / 2);
  EXPECT_GT(all.blocks, one.blocks / 2);
}

}  // namespace
}  // namespace tracer::kernel
