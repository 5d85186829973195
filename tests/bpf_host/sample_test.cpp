// SPDX-License-Identifier: Apache-2.0
// Sampling: which allocations are recorded, what they stand for, and that nothing is left of them once they are freed.
#include <algorithm>
#include <cmath>
#include <random>

#include "tests/bpf_host/harness.h"

namespace tracer::bpf_host {
namespace {

constexpr double kFixed = 4294967296.0;
constexpr std::uint64_t kK = 1024;

/// x / (1 - exp(-x)): what a sampled block stands for, in distances.
double hits_worth(double x) { return x / -std::expm1(-x); }

TEST(SampleArithmeticTest, TheLogarithmIsThatOfTheLibrary) {
  const auto check = [](std::uint32_t random) {
    const double u = (random + 0.5) / kFixed;
    EXPECT_NEAR(static_cast<double>(host_negative_log(random)) / kFixed, -std::log(u), 1e-8) << random;
  };
  for (const std::uint32_t edge :
       {0U, 1U, 2U, 3U, 0x7ffffffeU, 0x7fffffffU, 0x80000000U, 0x80000001U, 0xfffffffeU, ~0U})
    check(edge);
  for (int bit = 0; bit < 32; ++bit) check(1U << bit);
  std::mt19937 random(1);
  for (int i = 0; i < 200'000; ++i) check(static_cast<std::uint32_t>(random()) >> (i % 32));
}

TEST(SampleArithmeticTest, TheLogarithmFallsAsItsArgumentRises) {
  // Where two ways of computing it meet: powers of two, and square roots of these.
  for (const double edge : {0.25, 0.25 * std::sqrt(2.0), 0.5, 0.5 * std::sqrt(2.0)}) {
    const auto from = static_cast<std::uint32_t>(edge * kFixed) - 500;
    for (std::uint32_t i = 0; i < 1000; i += 10)
      EXPECT_GE(host_negative_log(from + i), host_negative_log(from + i + 10)) << edge;
  }
}

TEST(SampleArithmeticTest, AWeightIsTheInverseOfTheProbability) {
  for (std::uint64_t distance = TR_LEAST_SAMPLE_BYTES; distance <= TR_MOST_SAMPLE_BYTES; distance += distance / 3 + 1) {
    for (std::uint64_t size = 1; size < distance; size += size / 5 + 1) {
      const double x = static_cast<double>(size) / static_cast<double>(distance);
      const double bytes = static_cast<double>(distance) * hits_worth(x);
      const host_weight weight = host_weigh(size, distance, 0);
      // Rounding to a whole byte, and to 1/1024 block.
      EXPECT_NEAR(static_cast<double>(weight.bytes), bytes, 0.51 + bytes * 1e-6) << size << " at " << distance;
      const double units = TR_OBJECT_UNITS * bytes / static_cast<double>(size);
      EXPECT_NEAR(static_cast<double>(weight.units), units, 0.51 + units * 1e-6) << size << " at " << distance;
      const double variance = bytes * (bytes - static_cast<double>(size)) / TR_VARIANCE_UNIT;
      EXPECT_NEAR(static_cast<double>(weight.variance), variance, 2 + variance * 2e-3) << size << " at " << distance;
    }
  }
}

TEST(SampleArithmeticTest, AnEmptyBlockStandsForBlocksAndForNoBytes) {
  const host_weight weight = host_weigh(0, 512 * kK, 0);
  EXPECT_EQ(weight.bytes, 0U);
  EXPECT_EQ(weight.variance, 0U);
  EXPECT_EQ(weight.units, host_weigh(1, 512 * kK, 0).units);
}

TEST(SampleArithmeticTest, TheBirthCountsForEachOfTheBlocks) {
  const host_weight weight = host_weigh(100, 64 * kK, 123'456'789);
  const double expected = 123'456'789.0 * static_cast<double>(weight.units) / TR_OBJECT_UNITS;
  EXPECT_NEAR(static_cast<double>(weight.birth_ticks), expected, 2);
}

class SampleTest : public HostTest {
 protected:
  static constexpr std::uint64_t kDistance = 16 * kK;

  SampleTest() {
    config_.sample_bytes = kDistance;
    kernel_.set_capacity("blocks", 1 << 20);
    sample(space_, 1);
  }

  /// Allocations at an address each, until so many have been recorded; how many calls that took.
  std::uint64_t allocate_until(std::size_t recorded, std::uint64_t size) {
    std::uint64_t calls = 0;
    for (; kernel_.map("blocks").size() < recorded; ++calls) main_.malloc(size, next_address());
    return calls;
  }
  std::uint64_t next_address() { return kHeap + 16 * ++addresses_; }
  /// Frees every address there was.
  void free_all() {
    for (; addresses_ > 0; --addresses_) main_.free(kHeap + 16 * addresses_);
  }
  std::size_t recorded() { return kernel_.map("blocks").size(); }
  std::uint64_t variance(std::uint32_t stack) { return kernel_.at<std::uint64_t>("variances", stack); }
  std::uint64_t variance() {
    std::uint64_t sum = 0;
    for (const std::uint32_t id : stack_ids()) sum += variance(id);
    return sum;
  }
  void expect_empty_books() {
    EXPECT_EQ(recorded(), 0U);
    EXPECT_EQ(space(space_).live_bytes, 0U);
    EXPECT_EQ(variance(), 0U);
    EXPECT_EQ(young(), (std::pair<std::uint64_t, std::uint64_t>{0, 0}));
    for (const std::uint32_t id : stack_ids()) {
      EXPECT_EQ(stack(id).alloc_units, stack(id).free_units) << id;
      EXPECT_EQ(stack(id).alloc_bytes, stack(id).free_bytes) << id;
      EXPECT_EQ(stack(id).birth_ticks, 0U) << id;
    }
  }

  std::uint64_t addresses_ = 0;
};

TEST_F(SampleTest, EveryThreadBeginsAtAPlaceOfItsOwn) {
  // Were it the first call of a thread, or the end of the first distance, all would be recorded, or none.
  int hits = 0;
  for (std::uint32_t tid = 5000; tid < 6000; ++tid) {
    const std::size_t before = recorded();
    Thread thread(kTgid, tid);
    thread.malloc(kDistance / 4, next_address());
    hits += static_cast<int>(recorded() - before);
    kernel_.memory.unmap(thread.stack_start());
  }
  EXPECT_NEAR(hits, 1000 * -std::expm1(-0.25), 4 * std::sqrt(1000 * 0.22 * 0.78));
}

TEST_F(SampleTest, BlocksOfTheDistanceAndAboveAreCountedExactly) {
  for (int i = 0; i < 100; ++i) main_.malloc(kDistance + static_cast<std::uint64_t>(i), next_address());
  EXPECT_EQ(totals().alloc_objects, 100U);
  EXPECT_EQ(totals().alloc_bytes, 100 * kDistance + 99 * 50);
  EXPECT_EQ(variance(), 0U);
  free_all();
  expect_empty_books();
}

TEST_F(SampleTest, LargeBlocksInBetweenDoNotChangeTheSampleOfSmallOnes) {
  const auto recorded_small = [&](std::uint32_t tid, bool with_large) {
    kernel_.random.seed(7);
    Thread thread(kTgid, tid);
    std::vector<bool> out;
    for (int i = 0; i < 20'000; ++i) {
      const std::uint64_t address = next_address();
      thread.malloc(100, address);
      out.push_back(block(address) != nullptr);
      if (with_large) thread.malloc(kDistance * 3, next_address());
    }
    return out;
  };
  const std::vector<bool> alone = recorded_small(5000, false);
  EXPECT_GT(std::count(alone.begin(), alone.end(), true), 50);
  EXPECT_EQ(recorded_small(5001, true), alone);
}

TEST_F(SampleTest, EmptyBlocksAreRecordedNowAndThen) {
  config_.sample_bytes = kK;
  std::uint64_t calls = allocate_until(100, 0);
  EXPECT_NEAR(static_cast<double>(calls), 100.0 * kK, 4 * 10.0 * kK);
  EXPECT_NEAR(static_cast<double>(totals().alloc_objects), static_cast<double>(calls), 4 * 10.0 * kK);
  EXPECT_EQ(totals().alloc_bytes, 0U);
  EXPECT_EQ(space(space_).live_bytes, 0U);
}

TEST_F(SampleTest, WhatIsFreedLeavesNothingBehind) {
  allocate_until(50, 1000);
  allocate_until(100, 17);
  EXPECT_EQ(totals().live_bytes(), space(space_).live_bytes);
  EXPECT_GT(variance(), 0U);
  EXPECT_EQ(young().second, space(space_).live_bytes);
  globals_.tick = 1000;
  free_all();
  expect_empty_books();
  EXPECT_EQ(lost(), 0U);
}

TEST_F(SampleTest, FreesOfBlocksThatWereNotRecordedSayNothing) {
  allocate_until(3, 100);
  free_all();
  main_.free(kHeap - 64);
  main_.realloc(kHeap - 128, 50, kHeap);
  EXPECT_EQ(space(space_).free_unknown, 0U);
}

TEST_F(SampleTest, FailedCallsAreCountedWhetherSampledOrNot) {
  for (int i = 0; i < 1000; ++i) main_.malloc(100, 0);
  main_.malloc(1ULL << 50, 0);
  EXPECT_EQ(space(space_).failed_objects, 1001U);
  EXPECT_EQ(totals().alloc_objects, 0U);
}

TEST_F(SampleTest, ACallThatIsNotRecordedStoresNoStack) {
  while (recorded() == 0) {
    EXPECT_EQ(kernel_.map("stack_ids").size(), 0U);
    main_.malloc(8, next_address());
  }
  EXPECT_EQ(kernel_.map("stack_ids").size(), 1U);
}

TEST_F(SampleTest, CallsInsideOfACallThatIsNotRecordedAreNotSampled) {
  // The outer call asks for nothing and so is never recorded here; the inner ones would be, every time.
  int nested = 0;
  for (int i = 0; i < 100; ++i) {
    const std::size_t before = recorded();
    main_.enter(kMalloc, {1});
    const std::uint64_t sp = main_.sp;
    main_.sp -= 256;
    main_.malloc(kDistance * 4, next_address());
    main_.sp = sp;
    main_.leave(next_address());
    if (recorded() == before) ++nested;
  }
  EXPECT_GT(nested, 95);
  EXPECT_EQ(globals_.calls_nested, 100U);
  EXPECT_LT(totals().alloc_bytes, kDistance * 10);
}

TEST_F(SampleTest, AReallocIsAnAllocationOfItsNewSizeAndAFreeOfTheOldBlock) {
  allocate_until(1, 100);
  const std::uint64_t recorded_at = kHeap + 16 * addresses_;
  main_.realloc(recorded_at, kDistance * 2, next_address());
  EXPECT_EQ(recorded(), 1U);
  EXPECT_EQ(space(space_).live_bytes, kDistance * 2) << "what the old block stood for is gone";
  main_.realloc(kHeap + 16 * addresses_, 1, kHeap);  // too small to be recorded, but for one time in 16,384
  EXPECT_EQ(recorded(), 0U);
  expect_empty_books();
}

TEST_F(SampleTest, AFailedReallocKeepsWhatTheBlockStandsFor) {
  allocate_until(1, 100);
  const std::uint64_t at = kHeap + 16 * addresses_;
  const std::uint64_t live = space(space_).live_bytes;
  main_.realloc(at, 5, 0);
  EXPECT_EQ(space(space_).live_bytes, live);
  EXPECT_EQ(block(at)->level, 1);
  main_.free(at);
  expect_empty_books();
}

TEST_F(SampleTest, ABlockKeepsTheDistanceThatItWasRecordedAt) {
  allocate_until(20, 300);
  sample(space_, 4);
  allocate_until(40, 300);
  sample(space_, 0);
  allocate_until(60, 300);
  sample(space_, 2);
  allocate_until(80, 300);
  EXPECT_EQ(totals().live_bytes(), space(space_).live_bytes);
  const double expected =
      20 * (hits_worth(300.0 / kDistance) * kDistance + hits_worth(300.0 / (8 * kDistance)) * 8 * kDistance + 300 +
            hits_worth(300.0 / (2 * kDistance)) * 2 * kDistance);
  EXPECT_NEAR(static_cast<double>(space(space_).live_bytes), expected, 80);
  free_all();
  expect_empty_books();
}

TEST_F(SampleTest, AChangeBetweenEntryAndReturnIsOneOfTheNextCall) {
  allocate_until(1, 100);
  free_all();
  for (std::size_t i = 0; recorded() == 0; ++i) {
    main_.enter(kMalloc, {100});
    sample(space_, i % 2 == 0 ? 3 : 1);
    main_.leave(kHeap + 16 * i);
    addresses_ = i;
  }
  const tr_block* entered = block(kHeap + 16 * addresses_);
  EXPECT_EQ(entered->level, addresses_ % 2 == 0 ? 1 : 3);
  main_.free(kHeap + 16 * addresses_);
  expect_empty_books();
}

TEST_F(SampleTest, ANewAddressSpaceBeginsWithTheDistanceOfTheRun) {
  config_.sample_level = 3;
  Thread child(5000, 5000);
  host_process_fork(&main_.task, &child.task, 0);
  const std::uint32_t born = process(5000)->space;
  EXPECT_EQ(space(born).sample_level, 3);
  EXPECT_EQ(space(born).sampled, 1);
  config_.sample_level = 0;
  host_process_exec(&child.task);
  EXPECT_EQ(space(process(5000)->space).sample_level, 0);
  EXPECT_EQ(space(process(5000)->space).sampled, 0);
}

TEST_F(SampleTest, AfterAPauseBlocksAreUnverifiedByTheirWeight) {
  allocate_until(30, 200);
  const std::uint64_t live = space(space_).live_bytes;
  pause();
  EXPECT_EQ(unverified().bytes, live);
  free_all();
  EXPECT_EQ(unverified().bytes, 0U);
  EXPECT_EQ(unverified().objects, 0U);
  expect_empty_books();
}

TEST_F(SampleTest, CallsAreCountedPerAddressSpaceInSteps) {
  for (int i = 0; i < 1000; ++i) main_.malloc(1, next_address());
  for (int i = 0; i < 1000; ++i) main_.free(kHeap);
  EXPECT_LE(space(space_).events, 2000U);
  EXPECT_GT(space(space_).events, 2000U - 64);
}

TEST_F(SampleTest, WithoutSamplingCallsAreCountedToo) {
  sample(space_, 0);
  for (int i = 0; i < 500; ++i) main_.malloc(1, next_address());
  EXPECT_GT(space(space_).events, 500U - 64);
  EXPECT_EQ(totals().alloc_objects, 500U);
}

}  // namespace
}  // namespace tracer::bpf_host
