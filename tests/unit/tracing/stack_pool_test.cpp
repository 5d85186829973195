// SPDX-License-Identifier: Apache-2.0
#include "tracing/stack_pool.h"

#include <gtest/gtest.h>

namespace tracer::tracing {
namespace {

heap::Stack stack_at(std::uint64_t address, std::int32_t pid = 0) {
  heap::Stack stack;
  stack.pid = pid;
  for (std::uint64_t i = 0; i < 3; ++i) {
    heap::Frame frame;
    frame.module = 7;
    frame.module_address = address + i;
    stack.frames.push_back(frame);
  }
  return stack;
}

TEST(StackPoolTest, OneMeaningHasOneId) {
  StackPool pool(10);
  const StackPool::Added first = pool.add(stack_at(0x100));
  EXPECT_TRUE(first.is_new);
  const StackPool::Added again = pool.add(stack_at(0x100));
  EXPECT_FALSE(again.is_new);
  EXPECT_EQ(again.id, first.id);
  EXPECT_EQ(pool.find(first.id)->id, first.id);
  EXPECT_EQ(pool.last(), 1U);
}

TEST(StackPoolTest, EachPartOfTheMeaningCounts) {
  StackPool pool(10);
  const heap::StackId id = pool.add(stack_at(0x100)).id;
  EXPECT_NE(pool.add(stack_at(0x100, 42)).id, id);
  heap::Stack cut = stack_at(0x100);
  cut.end = heap::StackEnd::kTruncated;
  EXPECT_NE(pool.add(cut).id, id);
  heap::Stack exact = stack_at(0x100);
  exact.frames[0].exact = true;
  EXPECT_NE(pool.add(exact).id, id);
}

TEST(StackPoolTest, OneWithoutUsersIsKnownWhenItComesBack) {
  StackPool pool(10);
  const heap::StackId id = pool.add(stack_at(0x100)).id;
  pool.release(id);
  EXPECT_EQ(pool.add(stack_at(0x100)).id, id);
}

TEST(StackPoolTest, OfTooManyUnusedTheOlderHalfIsDropped) {
  StackPool pool(10);
  const heap::StackId used = pool.add(stack_at(0)).id;
  for (std::uint64_t i = 1; i <= 11; ++i) pool.release(pool.add(stack_at(i * 0x100)).id);
  EXPECT_NE(pool.find(used), nullptr) << "it has a user";
  for (heap::StackId id = 2; id <= 7; ++id) EXPECT_EQ(pool.find(id), nullptr) << id;
  for (heap::StackId id = 8; id <= 12; ++id) EXPECT_NE(pool.find(id), nullptr) << id;
  const StackPool::Added again = pool.add(stack_at(0x100));
  EXPECT_TRUE(again.is_new);
  EXPECT_EQ(again.id, 13U) << "ids are not used again";
}

TEST(StackPoolTest, KnowsNoIdThatWasNotGivenOut) {
  const StackPool pool(10);
  EXPECT_EQ(pool.find(0), nullptr);
  EXPECT_EQ(pool.find(1), nullptr);
}

}  // namespace
}  // namespace tracer::tracing
