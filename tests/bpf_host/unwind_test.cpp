// SPDX-License-Identifier: Apache-2.0
// The frame-pointer walk over good and broken stacks.
#include "tests/bpf_host/harness.h"

namespace tracer::bpf_host {
namespace {

class UnwindTest : public HostTest {
 protected:
  using Addresses = std::vector<std::uint64_t>;

  struct Walk {
    Addresses callers;  ///< without the probed instruction itself
    tr_stack_end end;
  };

  Walk walk() {
    main_.malloc(1, kHeap);
    const std::uint32_t id = stack_id(kHeap);
    Addresses all = frames(id);
    EXPECT_EQ(all.at(0), kMallocSite);
    all.erase(all.begin());
    return {all, static_cast<tr_stack_end>(stack(id).end)};
  }
  void set_deep_chain(std::size_t callers) {
    Addresses chain;
    for (std::size_t i = 0; i < callers; ++i) chain.push_back(0x555555550000 + i);
    main_.set_callers(chain);
  }

  const Addresses abc_ = {0xa000, 0xb000, 0xc000};
};

TEST_F(UnwindTest, FollowsTheChainToItsRoot) {
  main_.set_callers(abc_);
  const Walk found = walk();
  EXPECT_EQ(found.callers, abc_);
  EXPECT_EQ(found.end, TR_END_ROOT);
}

TEST_F(UnwindTest, ANullFramePointerLeavesTheDirectCaller) {
  main_.set_callers({0xa000});
  EXPECT_EQ(main_.bp, 0U);
  const Walk found = walk();
  EXPECT_EQ(found.callers, (Addresses{0xa000}));
  EXPECT_EQ(found.end, TR_END_FRAME);
}

TEST_F(UnwindTest, AMisalignedFramePointerEndsTheWalk) {
  main_.set_callers(abc_);
  main_.bp += 4;
  EXPECT_EQ(walk().callers, (Addresses{0xa000}));
  EXPECT_EQ(walk().end, TR_END_FRAME);
}

TEST_F(UnwindTest, AFramePointerBelowTheStackPointerEndsTheWalk) {
  main_.set_callers(abc_);
  main_.bp = main_.sp - 8;
  const Walk found = walk();
  EXPECT_EQ(found.callers, (Addresses{0xa000}));
  EXPECT_EQ(found.end, TR_END_FRAME);
}

TEST_F(UnwindTest, AChainThatGoesDownEndsTheWalk) {
  main_.set_callers(abc_);
  main_.set_record(main_.record(0), main_.record(0) - 64, 0xb000);
  const Walk found = walk();
  EXPECT_EQ(found.callers, (Addresses{0xa000, 0xb000}));
  EXPECT_EQ(found.end, TR_END_FRAME);
}

TEST_F(UnwindTest, ACycleEndsTheWalk) {
  main_.set_callers(abc_);
  main_.set_record(main_.record(0), main_.record(0), 0xb000);  // to itself
  EXPECT_EQ(walk().callers, (Addresses{0xa000, 0xb000}));
  main_.set_record(main_.record(0), main_.record(1), 0xb000);
  main_.set_record(main_.record(1), main_.record(0), 0xc000);  // and back
  const Walk found = walk();
  EXPECT_EQ(found.callers, abc_);
  EXPECT_EQ(found.end, TR_END_FRAME);
}

TEST_F(UnwindTest, RecordsThatOverlapEndTheWalk) {
  main_.set_callers(abc_);
  main_.set_record(main_.record(0), main_.record(0) + 8, 0xb000);
  EXPECT_EQ(walk().callers, (Addresses{0xa000, 0xb000}));
}

TEST_F(UnwindTest, MemoryThatCannotBeReadEndsTheWalk) {
  main_.set_callers(abc_);
  main_.set_record(main_.record(0), main_.stack_start() + Thread::kStackSize + 0x1000, 0xb000);
  const Walk found = walk();
  EXPECT_EQ(found.callers, (Addresses{0xa000, 0xb000}));
  EXPECT_EQ(found.end, TR_END_FRAME);
}

TEST_F(UnwindTest, AReturnAddressOfNullIsTheRoot) {
  main_.set_callers(abc_);
  main_.set_record(main_.record(1), main_.record(2), 0);
  const Walk found = walk();
  EXPECT_EQ(found.callers, (Addresses{0xa000, 0xb000}));
  EXPECT_EQ(found.end, TR_END_ROOT);
}

TEST_F(UnwindTest, AReturnAddressThatIsNoneEndsTheWalk) {
  for (const std::uint64_t bad : Addresses{1, 4095, 1ULL << 56, ~0ULL}) {
    main_.set_callers(abc_);
    main_.set_record(main_.record(1), main_.record(2), bad);
    const Walk found = walk();
    EXPECT_EQ(found.callers, (Addresses{0xa000, 0xb000})) << bad;
    EXPECT_EQ(found.end, TR_END_FRAME);
  }
}

TEST_F(UnwindTest, ADirectCallerThatIsNoneLeavesTheProbedFunction) {
  main_.set_callers({0});
  const Walk found = walk();
  EXPECT_TRUE(found.callers.empty());
  EXPECT_EQ(found.end, TR_END_FRAME);
}

TEST_F(UnwindTest, AStackPointerThatCannotBeReadLeavesTheProbedFunction) {
  const host_registers entry{.ip = kMallocSite, .sp = 0x10, .bp = 0, .ax = 0, .di = 9, .si = 0, .dx = 0};
  const host_registers leave{.ip = kTrampoline, .sp = 0x18, .bp = 0, .ax = kHeap, .di = 0, .si = 0, .dx = 0};
  host_heap_entry(&main_.task, &entry, kMalloc);
  host_heap_return(&main_.task, &leave);
  EXPECT_EQ(frames(stack_id(kHeap)), (Addresses{kMallocSite}));
}

TEST_F(UnwindTest, AHugeFrameIsTakenForABrokenChain) {
  main_.set_callers(abc_);
  const std::uint64_t far = main_.sp + (1 << 20);
  kernel_.memory.map(far, 0x1000);
  main_.set_record(far, 0, 0xf000);
  main_.bp = far;
  EXPECT_EQ(walk().callers, (Addresses{0xa000, 0xf000})) << "exactly the limit";

  main_.set_record(far + 64, 0, 0xf000);
  main_.bp = far + 64;
  const Walk found = walk();
  EXPECT_EQ(found.callers, (Addresses{0xa000}));
  EXPECT_EQ(found.end, TR_END_FRAME);
}

TEST_F(UnwindTest, ARecordAcrossTwoPagesIsRead) {
  const std::uint64_t page = main_.stack_start() + Thread::kStackSize / 2;
  main_.set_callers(abc_);
  main_.bp = page - 8;
  main_.set_record(page - 8, page + 0x400, 0xb000);
  main_.set_record(page + 0x400, 0, 0xc000);
  const Walk found = walk();
  EXPECT_EQ(found.callers, abc_);
  EXPECT_EQ(found.end, TR_END_ROOT);
}

TEST_F(UnwindTest, ARecordWhoseSecondHalfIsUnreadableEndsTheWalk) {
  const std::uint64_t end = main_.stack_start() + Thread::kStackSize;
  main_.set_callers({0xa000});
  kernel_.memory.write(end - 8, 0);
  main_.bp = end - 8;
  const Walk found = walk();
  EXPECT_EQ(found.callers, (Addresses{0xa000}));
  EXPECT_EQ(found.end, TR_END_FRAME);
}

TEST_F(UnwindTest, TheLastReadableRecordOfAStackIsRead) {
  const std::uint64_t end = main_.stack_start() + Thread::kStackSize;
  main_.set_callers({0xa000});
  main_.bp = end - 16;
  main_.set_record(end - 16, 0, 0xb000);
  const Walk found = walk();
  EXPECT_EQ(found.callers, (Addresses{0xa000, 0xb000}));
  EXPECT_EQ(found.end, TR_END_ROOT);
}

TEST_F(UnwindTest, FramesFurtherApartThanTheWindowAreFollowed) {
  main_.set_callers({0xa000});
  const std::uint64_t base = main_.stack_start() + 0x5000;
  main_.bp = base;
  Addresses expected = {0xa000};
  std::uint64_t at = base;
  for (std::uint64_t i = 0; i < 20; ++i) {
    // The next record is half in the window, just in it, or just outside.
    const std::uint64_t next = at + (i % 3 == 0 ? 1016 : i % 3 == 1 ? 1008 : 1024);
    main_.set_record(at, i == 19 ? 0 : next, 0xb000 + i);
    expected.push_back(0xb000 + i);
    at = next;
  }
  const Walk found = walk();
  EXPECT_EQ(found.callers, expected);
  EXPECT_EQ(found.end, TR_END_ROOT);
}

TEST_F(UnwindTest, ADeepStackIsCutAndSaysSo) {
  set_deep_chain(TR_MAX_FRAMES + 50);
  const Walk found = walk();
  EXPECT_EQ(found.callers.size(), TR_MAX_FRAMES - 1U);
  EXPECT_EQ(found.end, TR_END_DEPTH);
}

TEST_F(UnwindTest, AStackOfTheGreatestDepthIsNotCut) {
  set_deep_chain(TR_MAX_FRAMES - 1);
  const Walk found = walk();
  EXPECT_EQ(found.callers.size(), TR_MAX_FRAMES - 1U);
  EXPECT_EQ(found.end, TR_END_ROOT);
}

TEST_F(UnwindTest, TheGivenDepthIsALimitOfAllFrames) {
  set_deep_chain(200);
  for (const std::uint32_t depth : {2U, 3U, 64U, 126U}) {
    config_.max_frames = depth;
    const Walk found = walk();
    EXPECT_EQ(found.callers.size(), depth - 1U);
    EXPECT_EQ(found.end, TR_END_DEPTH);
  }
}

TEST_F(UnwindTest, AStackOfJustTheGivenDepthIsNotCut) {
  main_.set_callers(abc_);
  config_.max_frames = 4;
  const Walk found = walk();
  EXPECT_EQ(found.callers, abc_);
  EXPECT_EQ(found.end, TR_END_ROOT);
}

TEST_F(UnwindTest, AWindowOfAnEarlierStackIsNotBelieved) {
  main_.set_callers(abc_);
  walk();
  main_.set_callers({0xa000, 0xb001, 0xc001});
  EXPECT_EQ(walk().callers, (Addresses{0xa000, 0xb001, 0xc001}));
}

}  // namespace
}  // namespace tracer::bpf_host
