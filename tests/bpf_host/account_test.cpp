// SPDX-License-Identifier: Apache-2.0
// The books: peaks, ages, filters, a full table, frees that were missed.
#include "tests/bpf_host/harness.h"

namespace tracer::bpf_host {
namespace {

class AccountTest : public HostTest {
 protected:
  using Pair = std::pair<std::uint64_t, std::uint64_t>;

  static std::uint64_t at(std::uint64_t n) { return kHeap + n * 0x1000; }
};

TEST_F(AccountTest, ThePeakIsTheMostThatWasLiveAtOnce) {
  main_.malloc(100, at(0));
  main_.malloc(50, at(1));
  main_.free(at(0));
  main_.malloc(80, at(2));
  EXPECT_EQ(space(space_).live_bytes, 130U);
  EXPECT_EQ(space(space_).peak_bytes, 150U);
  main_.malloc(21, at(3));
  EXPECT_EQ(space(space_).peak_bytes, 151U);
}

TEST_F(AccountTest, ABlockIsYoungForTheWindowAndThenNoLonger) {
  main_.malloc(100, at(0));
  for (std::uint32_t age = 0; age < TR_YOUNG_WINDOW; ++age) {
    EXPECT_EQ(young(), (Pair{1, 100})) << age;
    advance_generation();
  }
  EXPECT_EQ(young(), (Pair{0, 0}));
  main_.free(at(0));
  for (std::uint32_t i = 0; i < 2 * TR_YOUNG_SLOTS; ++i) {
    EXPECT_EQ(young(), (Pair{0, 0})) << "the free of an old block is none of a young one";
    advance_generation();
  }
}

TEST_F(AccountTest, AYoungBlockThatIsFreedIsNotYoung) {
  main_.malloc(100, at(0));
  advance_generation();
  main_.malloc(30, at(1));
  main_.free(at(0));
  EXPECT_EQ(young(), (Pair{1, 30}));
}

TEST_F(AccountTest, GenerationsMayWrap) {
  globals_.generation = ~0U - 2;
  for (std::uint64_t i = 0; i < 6; ++i) {
    main_.malloc(1ULL << i, at(i));
    advance_generation();
  }
  EXPECT_EQ(globals_.generation, 3U);
  EXPECT_EQ(young(), (Pair{4, 4 + 8 + 16 + 32}));
  for (std::uint64_t i = 0; i < 6; ++i) main_.free(at(i));
  EXPECT_EQ(young(), (Pair{0, 0}));
  EXPECT_EQ(totals().live_bytes(), 0U);
}

TEST_F(AccountTest, OnlySizesWithinTheFilterAreRecorded) {
  config_.min_size = 100;
  config_.max_size = 200;
  const std::uint64_t sizes[] = {0, 99, 100, 150, 200, 201, ~0ULL};
  for (std::uint64_t i = 0; i < 7; ++i) main_.malloc(sizes[i], at(i));
  EXPECT_EQ(totals(), (Totals{3, 450, 0, 0, 0}));
  EXPECT_EQ(kernel_.map("blocks").size(), 3U);
  EXPECT_EQ(space(space_).live_bytes, 450U);
}

TEST_F(AccountTest, ABlockThatGrowsOutOfTheFilterIsFreed) {
  config_.max_size = 200;
  main_.malloc(150, at(0));
  main_.realloc(at(0), 500, at(1));
  EXPECT_EQ(totals(), (Totals{1, 150, 1, 150, 0}));
  EXPECT_EQ(space(space_).live_bytes, 0U);
  EXPECT_EQ(kernel_.map("blocks").size(), 0U);
}

TEST_F(AccountTest, ABlockThatFailsToGrowOutOfTheFilterStays) {
  config_.max_size = 200;
  main_.malloc(150, at(0));
  main_.realloc(at(0), 500, 0);
  EXPECT_NE(block(at(0)), nullptr);
  EXPECT_EQ(space(space_).live_bytes, 150U);
  EXPECT_EQ(space(space_).failed_objects, 1U);
}

TEST_F(AccountTest, AFilteredCallStoresNoStack) {
  config_.min_size = 100;
  main_.malloc(5, at(0));
  EXPECT_EQ(kernel_.map("stack_ids").size(), 0U);
}

TEST_F(AccountTest, AnAddressHandedOutTwiceIsAMissedFree) {
  main_.set_callers({0xa000});
  main_.malloc(100, at(0));
  const std::uint32_t first = stack_id(at(0));
  main_.set_callers({0xb000});
  main_.malloc(30, at(0));
  EXPECT_EQ(lost(TR_LOSS_FREE_MISSED), 1U);
  EXPECT_EQ(space(space_).live_bytes, 30U);
  EXPECT_EQ(space(space_).peak_bytes, 100U);
  EXPECT_EQ(totals(), (Totals{2, 130, 1, 100, 0}));
  EXPECT_EQ(totals_of(stack(first)).free_objects, 1U);
  EXPECT_EQ(block(at(0))->size, 30U);
  EXPECT_EQ(young(), (Pair{1, 30}));
}

TEST_F(AccountTest, ADeeperFreeOfABlockThatWasNotRecordedIsNoWrappersInnerFree) {
  config_.min_size = 50;
  main_.malloc(100, at(0));
  main_.free(at(0));
  main_.malloc(30, at(0));
  main_.sp -= 64;
  main_.free(at(0));
  EXPECT_EQ(space(space_).free_unknown, 1U);
}

TEST_F(AccountTest, AMissedFreeIsNoticedByAFilteredCallToo) {
  config_.min_size = 50;
  main_.malloc(100, at(0));
  main_.malloc(30, at(0));
  EXPECT_EQ(lost(TR_LOSS_FREE_MISSED), 1U);
  EXPECT_EQ(space(space_).live_bytes, 0U);
  EXPECT_EQ(totals(), (Totals{1, 100, 1, 100, 0}));
}

TEST_F(AccountTest, AReallocOntoALiveAddressIsAMissedFreeToo) {
  main_.malloc(100, at(0));
  main_.malloc(40, at(1));
  main_.realloc(at(1), 60, at(0));
  EXPECT_EQ(lost(TR_LOSS_FREE_MISSED), 1U);
  EXPECT_EQ(space(space_).live_bytes, 60U);
  EXPECT_EQ(totals().live_bytes(), 60U);
}

TEST_F(AccountTest, ABlockThatFindsNoRoomIsALossAndTheTotalsDoNotKnowIt) {
  kernel_.set_capacity("blocks", 2);
  for (std::uint64_t i = 0; i < 5; ++i) main_.malloc(10, at(i));
  EXPECT_EQ(lost(TR_LOSS_BLOCKS_FULL), 3U);
  EXPECT_EQ(totals(), (Totals{2, 20, 0, 0, 0}));
  EXPECT_EQ(space(space_).live_bytes, 20U);
  EXPECT_EQ(space(space_).peak_bytes, 20U);
  EXPECT_EQ(young(), (Pair{2, 20}));

  main_.free(at(4));
  EXPECT_EQ(space(space_).free_unknown, 1U);
  EXPECT_EQ(space(space_).live_bytes, 20U);
  main_.free(at(0));
  main_.malloc(7, at(5));  // there is room again
  EXPECT_EQ(totals().live_bytes(), 17U);
  EXPECT_EQ(lost(), 3U);
}

TEST_F(AccountTest, AReallocThatFindsNoRoomIsAFree) {
  kernel_.set_capacity("blocks", 1);
  main_.malloc(10, at(0));
  Thread other(kTgid, 4243);
  main_.enter(kRealloc, {at(0), 20});
  other.malloc(5, at(1));
  main_.leave(at(2));
  EXPECT_EQ(lost(TR_LOSS_BLOCKS_FULL), 1U);
  EXPECT_EQ(totals(), (Totals{2, 15, 1, 10, 0}));
  EXPECT_EQ(space(space_).live_bytes, 5U);
}

TEST_F(AccountTest, ABlockThatTwoThreadsFreeAtOneInstantIsFreedOnce) {
  Thread other(kTgid, 4243);
  main_.malloc(100, at(0));
  kernel_.interrupt_before(FakeKernel::Step::kRemove, "blocks", [&] { other.free(at(0)); });
  main_.free(at(0));
  EXPECT_EQ(totals(), (Totals{1, 100, 1, 100, 0}));
  EXPECT_EQ(space(space_).live_bytes, 0U);
  EXPECT_EQ(space(space_).free_unknown, 1U);
}

}  // namespace
}  // namespace tracer::bpf_host
