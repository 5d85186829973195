// SPDX-License-Identifier: Apache-2.0
#include "tracing/mapped_memory.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

namespace tracer::tracing {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kPlace = 0x7ffff0000000;
constexpr std::uint32_t kSpace = 3;
constexpr std::uint32_t kTid = 42;

class MappedMemoryTest : public testing::Test {
 protected:
  void map(std::uint64_t page, std::uint64_t pages, std::uint32_t stack, std::uint32_t flags = TR_MEMORY_ACCESSIBLE) {
    apply(TR_MEMORY_MAP, page, pages, stack, flags);
  }
  void take(std::uint64_t page, std::uint64_t pages, std::uint32_t tid = kTid) {
    apply(TR_MEMORY_TAKE, page, pages, 0, 0, tid);
  }
  void settle(std::uint64_t page = 0, std::uint64_t pages = 0, std::uint32_t tid = kTid) {
    apply(TR_MEMORY_SETTLE, page, pages, 0, 0, tid);
  }
  void apply(tr_memory_change change, std::uint64_t page, std::uint64_t pages, std::uint32_t stack = 0,
             std::uint32_t flags = 0, std::uint32_t tid = kTid) {
    tr_memory_event event{};
    event.change = change;
    event.space = kSpace;
    event.tid = tid;
    event.stack_id = stack;
    event.address = pages == 0 ? 0 : kPlace + page * kPage;
    event.length = pages * kPage;
    event.flags = flags;
    memory_.apply(event);
  }
  std::uint64_t program_pages() const { return memory_.totals(kSpace).program_bytes / kPage; }
  std::uint64_t allocator_pages() const { return memory_.totals(kSpace).allocator_bytes / kPage; }
  std::uint64_t pages_of(std::uint32_t stack) const {
    const MappedMemory::Totals totals = memory_.totals(kSpace);
    const auto found = totals.program_bytes_by_stack.find(stack);
    return found == totals.program_bytes_by_stack.end() ? 0 : found->second / kPage;
  }

  MappedMemory memory_;
};

TEST_F(MappedMemoryTest, BelongsToTheStackThatMappedIt) {
  map(0, 10, 1);
  map(20, 5, 2);
  EXPECT_EQ(pages_of(1), 10U);
  EXPECT_EQ(pages_of(2), 5U);
  EXPECT_EQ(program_pages(), 15U);
}

TEST_F(MappedMemoryTest, APartThatIsUnmappedLeavesTheRest) {
  map(0, 10, 1);
  take(3, 4);
  settle();
  EXPECT_EQ(pages_of(1), 6U);
}

TEST_F(MappedMemoryTest, OneUnmappingTakesPartsOfSeveral) {
  map(0, 10, 1);
  map(10, 10, 2);
  map(30, 10, 3);
  take(5, 30);
  settle();
  EXPECT_EQ(pages_of(1), 5U);
  EXPECT_EQ(pages_of(2), 0U);
  EXPECT_EQ(pages_of(3), 5U);
}

TEST_F(MappedMemoryTest, WhatCouldNotBeUnmappedIsBack) {
  map(0, 10, 1);
  take(3, 4);
  EXPECT_EQ(pages_of(1), 6U);
  apply(TR_MEMORY_RESTORE, 0, 0);
  EXPECT_EQ(pages_of(1), 10U);
}

TEST_F(MappedMemoryTest, ARangeThatAnotherThreadHasGotMeanwhileIsItsOwn) {
  map(0, 10, 1);
  take(0, 10, 7);
  map(0, 10, 2);
  settle(0, 0, 7);
  EXPECT_EQ(pages_of(1), 0U);
  EXPECT_EQ(pages_of(2), 10U);
}

TEST_F(MappedMemoryTest, MovedMemoryKeepsItsOwners) {
  map(0, 4, 1);
  map(4, 4, 2);
  take(0, 8);
  settle(100, 12);
  EXPECT_EQ(pages_of(1), 4U);
  EXPECT_EQ(pages_of(2), 8U);
  take(100, 12);
  settle(100, 2);
  EXPECT_EQ(pages_of(1), 2U);
  EXPECT_EQ(pages_of(2), 0U);
}

TEST_F(MappedMemoryTest, MemoryOfBeforeTheTraceStaysUnknownWhenItMoves) {
  take(0, 8);
  settle(100, 12);
  EXPECT_EQ(program_pages(), 0U);
}

TEST_F(MappedMemoryTest, ReservedMemoryCountsWhenItBecomesAccessible) {
  map(0, 100, 1, 0);
  EXPECT_EQ(program_pages(), 0U);
  apply(TR_MEMORY_PROTECT, 10, 5, 0, TR_MEMORY_ACCESSIBLE);
  EXPECT_EQ(pages_of(1), 5U);
  apply(TR_MEMORY_PROTECT, 12, 1, 0, 0);
  EXPECT_EQ(pages_of(1), 4U);
}

TEST_F(MappedMemoryTest, AllocatorsAndTheProgramAreToldApart) {
  map(0, 10, 1, TR_MEMORY_ACCESSIBLE | TR_MEMORY_BY_ALLOCATOR);
  map(20, 3, 2);
  EXPECT_EQ(allocator_pages(), 10U);
  EXPECT_EQ(program_pages(), 3U);
}

TEST_F(MappedMemoryTest, LengthsAreRoundedUpToPages) {
  tr_memory_event event{};
  event.change = TR_MEMORY_MAP;
  event.space = kSpace;
  event.address = kPlace;
  event.length = 1;
  event.flags = TR_MEMORY_ACCESSIBLE;
  memory_.apply(event);
  EXPECT_EQ(program_pages(), 1U);
}

TEST_F(MappedMemoryTest, NonsenseIsPassedOver) {
  tr_memory_event event{};
  event.change = TR_MEMORY_MAP;
  event.space = kSpace;
  event.address = ~std::uint64_t{0} - 100;
  event.length = ~std::uint64_t{0};
  event.flags = TR_MEMORY_ACCESSIBLE;
  memory_.apply(event);
  settle(1, 1);
  EXPECT_EQ(program_pages(), 0U);
}

TEST_F(MappedMemoryTest, AnEndedAddressSpaceIsForgotten) {
  map(0, 10, 1);
  memory_.forget(kSpace);
  EXPECT_EQ(program_pages(), 0U);
}

/// Against one owner for every page.
TEST_F(MappedMemoryTest, AgreesWithAModelOfPages) {
  constexpr std::uint32_t kPages = 64;
  std::mt19937 random(1);
  std::map<std::uint64_t, std::uint32_t> owners;
  for (std::uint32_t i = 1; i <= 5000; ++i) {
    const std::uint64_t page = random() % kPages;
    const std::uint64_t pages = 1 + random() % 16;
    if (random() % 2 == 0) {
      map(page, pages, i % 7);
      for (std::uint64_t at = page; at < page + pages; ++at) owners[at] = i % 7;
    } else {
      take(page, pages);
      settle();
      for (std::uint64_t at = page; at < page + pages; ++at) owners.erase(at);
    }
    std::map<std::uint32_t, std::uint64_t> expected;
    for (const auto& [at, owner] : owners) expected[owner] += kPage;
    ASSERT_EQ(memory_.totals(kSpace).program_bytes_by_stack, expected) << "after step " << i;
  }
}

}  // namespace
}  // namespace tracer::tracing
