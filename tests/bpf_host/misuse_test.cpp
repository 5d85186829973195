// SPDX-License-Identifier: Apache-2.0
// Blocks that are given back as they must not be.
#include "tests/bpf_host/harness.h"

namespace tracer::bpf_host {
namespace {

constexpr std::uint64_t kNewMark = TR_COOKIE(TR_CALL_MARK, 1, 0, 0) | TR_COOKIE_OF_KIND(TR_KIND_NEW);
constexpr std::uint64_t kAlignedNewMark = TR_COOKIE(TR_CALL_MARK, 1, 2, 0) | TR_COOKIE_OF_KIND(TR_KIND_NEW);
constexpr std::uint64_t kNewArrayMark = TR_COOKIE(TR_CALL_MARK, 1, 0, 0) | TR_COOKIE_OF_KIND(TR_KIND_NEW_ARRAY);
constexpr std::uint64_t kDeleteMark =
    TR_COOKIE(TR_CALL_MARK, 0, 0, 1) | TR_COOKIE_OF_KIND(TR_KIND_NEW) | TR_COOKIE_FREES;
constexpr std::uint64_t kDeleteArrayMark =
    TR_COOKIE(TR_CALL_MARK, 0, 0, 1) | TR_COOKIE_OF_KIND(TR_KIND_NEW_ARRAY) | TR_COOKIE_FREES;

struct Found {
  tr_anomaly_key key{};
  tr_anomaly value{};
};

class MisuseTest : public HostTest {
 protected:
  MisuseTest() {
    host_misuse()->watched = 1;
    kernel_.set_capacity("freed_blocks", 100);
    kernel_.set_capacity("anomalies", 100);
  }

  void mark(std::uint64_t cookie, std::uint64_t first, std::uint64_t second = 0) {
    main_.enter(cookie, {first, second});
  }
  /// As libstdc++ does it: malloc is called deeper in the stack.
  void operator_new(std::uint64_t cookie, std::uint64_t size, std::uint64_t address) {
    mark(cookie, size);
    main_.sp -= 32;
    main_.malloc(size == 0 ? 1 : size, address);
    main_.sp += 32;
  }
  /// … and free in a tail call.
  void operator_delete(std::uint64_t cookie, std::uint64_t address) {
    mark(cookie, address);
    main_.free(address);
  }
  std::vector<Found> found() {
    std::vector<Found> out;
    kernel_.map("anomalies").for_each([&](const void* key, const void* value) {
      out.push_back({*static_cast<const tr_anomaly_key*>(key), *static_cast<const tr_anomaly*>(value)});
    });
    return out;
  }
};

TEST_F(MisuseTest, WhatFitsIsNoMisuse) {
  main_.malloc(100, kHeap);
  main_.realloc(kHeap, 200, kHeap + 0x100);
  main_.free(kHeap + 0x100);
  operator_new(kNewMark, 100, kHeap);
  operator_delete(kDeleteMark, kHeap);
  operator_new(kNewArrayMark, 100, kHeap);
  operator_delete(kDeleteArrayMark, kHeap);
  operator_new(kNewMark, 0, kHeap);
  operator_delete(kDeleteMark, kHeap);
  EXPECT_TRUE(found().empty());
}

TEST_F(MisuseTest, AnAlignedBlockIsKnownByItsRoundedSize) {
  mark(kAlignedNewMark, 100, 64);
  main_.sp -= 32;
  main_.call(kMemalign, {64, 128}, kHeap);
  main_.sp += 32;
  operator_delete(kDeleteMark, kHeap);
  EXPECT_TRUE(found().empty());
}

TEST_F(MisuseTest, OfOperatorsThatCallEachOtherTheOutermostCounts) {
  mark(kNewArrayMark, 100);
  main_.sp -= 16;
  operator_new(kNewMark, 100, kHeap);
  main_.sp += 16;
  mark(kDeleteArrayMark, kHeap);
  operator_delete(kDeleteMark, kHeap);
  EXPECT_TRUE(found().empty());
}

TEST_F(MisuseTest, WrongPairsAreToldWithBothStacks) {
  main_.malloc(100, kHeap);
  const std::uint32_t alloc_stack = stack_id(kHeap);
  operator_delete(kDeleteMark, kHeap);
  const std::vector<Found> all = found();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].key.type, TR_ANOMALY_MISMATCH);
  EXPECT_EQ(all[0].key.alloc_kind, TR_KIND_C);
  EXPECT_EQ(all[0].key.free_kind, TR_KIND_NEW);
  EXPECT_EQ(all[0].key.alloc_stack, alloc_stack);
  EXPECT_FALSE(frames(all[0].key.stack_id).empty());
  EXPECT_EQ(all[0].value.count, 1U);
  EXPECT_EQ(all[0].value.address, kHeap);
  EXPECT_EQ(all[0].value.size, 100U);
}

TEST_F(MisuseTest, TheSameMisuseIsCounted) {
  for (int i = 0; i < 5; ++i) {
    operator_new(kNewArrayMark, 100, kHeap);
    operator_delete(kDeleteMark, kHeap);
  }
  const std::vector<Found> all = found();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].value.count, 5U);
}

TEST_F(MisuseTest, ReallocTakesNoBlockOfNew) {
  operator_new(kNewMark, 100, kHeap);
  main_.realloc(kHeap, 200, kHeap + 0x100);
  ASSERT_EQ(found().size(), 1U);
  EXPECT_EQ(found()[0].key.alloc_kind, TR_KIND_NEW);
}

TEST_F(MisuseTest, KindsThatShareAnAddressFitAll) {
  main_.call(kMalloc | TR_COOKIE_OF_KIND(TR_KIND_ANY), {100}, kHeap);
  operator_delete(kDeleteMark, kHeap);
  operator_new(kNewMark, 100, kHeap);
  main_.enter(kFree | TR_COOKIE_OF_KIND(TR_KIND_ANY), {kHeap});
  EXPECT_TRUE(found().empty());
}

TEST_F(MisuseTest, AMarkHoldsForTheCallThatFollowsOnly) {
  operator_new(kNewMark, 100, kHeap);
  main_.malloc(100, kHeap + 0x100);
  main_.free(kHeap + 0x100);
  // An operator that asks for something else, such as room for a header, is none that is known.
  mark(kNewMark, 100);
  main_.sp -= 32;
  main_.malloc(116, kHeap + 0x200);
  main_.sp += 32;
  main_.free(kHeap + 0x200);
  EXPECT_TRUE(found().empty());
}

TEST_F(MisuseTest, ASecondFreeIsToldWithTheFirst) {
  main_.malloc(100, kHeap);
  const std::uint32_t alloc_stack = stack_id(kHeap);
  main_.free(kHeap);
  main_.set_callers({0x555555556000});
  main_.free(kHeap);
  const std::vector<Found> all = found();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].key.type, TR_ANOMALY_DOUBLE_FREE);
  EXPECT_EQ(all[0].key.alloc_stack, alloc_stack);
  EXPECT_NE(all[0].key.first_free, all[0].key.stack_id);
  EXPECT_EQ(all[0].value.size, 100U);
}

TEST_F(MisuseTest, WhatReallocHasMovedIsFreed) {
  main_.malloc(100, kHeap);
  main_.realloc(kHeap, 200, kHeap + 0x100);
  main_.free(kHeap);
  ASSERT_EQ(found().size(), 1U);
  EXPECT_EQ(found()[0].key.type, TR_ANOMALY_DOUBLE_FREE);
}

TEST_F(MisuseTest, AnAddressThatWasHandedOutAgainMayBeFreedAgain) {
  for (int i = 0; i < 3; ++i) {
    main_.malloc(100, kHeap);
    main_.free(kHeap);
  }
  EXPECT_TRUE(found().empty());
}

TEST_F(MisuseTest, WhereEventsWereLostNothingIsSaidOfASecondFree) {
  main_.malloc(100, kHeap);
  main_.free(kHeap);
  globals_.losses[TR_LOSS_CALL_ABANDONED]++;
  main_.free(kHeap);
  EXPECT_TRUE(found().empty());
}

TEST_F(MisuseTest, AnAddressInsideOfABlockIsTold) {
  main_.malloc(1000, kHeap);
  main_.free(kHeap + 24);
  const std::vector<Found> all = found();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].key.type, TR_ANOMALY_INSIDE);
  EXPECT_EQ(all[0].value.offset, 24U);
  EXPECT_EQ(all[0].value.size, 1000U);
  EXPECT_NE(block(kHeap), nullptr);
}

TEST_F(MisuseTest, BlocksOfBeforeTheTraceAreNoAlarm) {
  main_.malloc(100, kHeap);
  main_.free(kHeap + 112);
  main_.free(kHeap - 16);
  operator_delete(kDeleteMark, kHeap + 0x1000);
  main_.realloc(kHeap + 0x2000, 100, kHeap + 0x3000);
  EXPECT_TRUE(found().empty());
}

TEST_F(MisuseTest, BlocksOfBeforeAPauseAreNoAlarm) {
  main_.malloc(1000, kHeap);
  pause();
  main_.free(kHeap + 16);
  EXPECT_TRUE(found().empty());
}

TEST_F(MisuseTest, MoreThanTheTableHoldsIsCountedAsLost) {
  kernel_.set_capacity("anomalies", 1);
  main_.malloc(100, kHeap);
  operator_delete(kDeleteMark, kHeap);
  main_.set_callers({0x555555557000});
  main_.malloc(100, kHeap);
  operator_delete(kDeleteMark, kHeap);
  EXPECT_EQ(lost(TR_LOSS_ANOMALIES_FULL), 1U);
}

TEST_F(MisuseTest, NothingIsLookedForUnlessAskedFor) {
  host_misuse()->watched = 0;
  main_.malloc(100, kHeap);
  operator_delete(kDeleteMark, kHeap);
  main_.free(kHeap);
  EXPECT_TRUE(found().empty());
}

}  // namespace
}  // namespace tracer::bpf_host
