// SPDX-License-Identifier: Apache-2.0
// Calls inside calls, calls that never return, returns without calls.
#include "tests/bpf_host/harness.h"

namespace tracer::bpf_host {
namespace {

class NestingTest : public HostTest {
 protected:
  const std::uint64_t sp_ = main_.sp;
};

TEST_F(NestingTest, AnInnerCallIsPartOfTheOuterOne) {
  main_.enter(kCalloc, {2, 50});
  main_.sp = sp_ - 0x40;
  main_.malloc(100, kHeap);
  main_.sp = sp_;
  main_.leave(kHeap);
  EXPECT_EQ(totals(), (Totals{1, 100, 0, 0, 0}));
  EXPECT_EQ(globals_.calls_nested, 1U);
  EXPECT_EQ(lost(), 0U);
}

TEST_F(NestingTest, AReallocThatAllocatesAndFreesIsOneRealloc) {
  main_.malloc(100, kHeap);
  main_.enter(kRealloc, {kHeap, 200});
  main_.sp = sp_ - 0x40;
  main_.malloc(200, kHeap + 0x1000);
  main_.free(kHeap);
  main_.sp = sp_;
  main_.leave(kHeap + 0x1000);
  EXPECT_EQ(totals(), (Totals{2, 300, 1, 100, 0}));
  EXPECT_EQ(space(space_).free_unknown, 0U);
  EXPECT_EQ(globals_.calls_nested, 2U);
}

TEST_F(NestingTest, ATailCallHasTheSameStackPointerAndIsInside) {
  main_.enter(kCalloc, {2, 50});
  host_registers registers{.ip = kMallocSite + 0x100,
                           .sp = sp_,
                           .bp = main_.bp,
                           .ax = 0,
                           .di = 100,
                           .si = 0,
                           .dx = 0,
                           .r10 = 0,
                           .orig_ax = 0};
  host_heap_entry(&main_.task, &registers, kMalloc);  // jumped to: the slot still holds the trampoline
  main_.leave(kHeap);
  main_.leave(kHeap);  // the kernel runs both return probes
  EXPECT_EQ(totals(), (Totals{1, 100, 0, 0, 0}));
  EXPECT_EQ(globals_.calls_nested, 1U);
}

TEST_F(NestingTest, ACallHigherUpTheStackSaysThatTheOneInFlightWasAbandoned) {
  main_.enter(kMalloc, {100});
  main_.sp = sp_ + 0x80;
  main_.malloc(7, kHeap);
  EXPECT_EQ(lost(TR_LOSS_CALL_ABANDONED), 1U);
  EXPECT_EQ(totals(), (Totals{1, 7, 0, 0, 0}));
  main_.malloc(7, kHeap + 16);
  EXPECT_EQ(lost(), 1U) << "counted once";
}

TEST_F(NestingTest, AReturnSlotThatWasOverwrittenSaysSoToo) {
  main_.enter(kMalloc, {100});
  kernel_.memory.write(sp_, 0x1234);  // the stack is used for something else now
  main_.sp = sp_ - 0x80;
  main_.malloc(7, kHeap);
  EXPECT_EQ(lost(TR_LOSS_CALL_ABANDONED), 1U);
  EXPECT_EQ(totals(), (Totals{1, 7, 0, 0, 0}));
  main_.malloc(7, kHeap + 16);
  EXPECT_EQ(lost(), 1U) << "counted once";
}

TEST_F(NestingTest, ACallFromTheSamePlaceAfterALongjmpIsNotNested) {
  main_.enter(kMalloc, {100});
  main_.malloc(7, kHeap);  // its own return address is on the slot when the probe hits
  EXPECT_EQ(lost(TR_LOSS_CALL_ABANDONED), 1U);
  EXPECT_EQ(totals(), (Totals{1, 7, 0, 0, 0}));
}

TEST_F(NestingTest, AStackThatIsGoneSaysThatTheCallWasAbandoned) {
  main_.enter(kMalloc, {100});
  kernel_.memory.unmap(main_.stack_start());
  Thread moved(kTgid, kTgid + 1);  // the same thread on another stack, lower down
  moved.task.pid = kTgid;
  moved.sp = 0x7000;
  kernel_.memory.map(0x6000, 0x2000);
  moved.bp = 0;
  moved.malloc(7, kHeap);
  EXPECT_EQ(lost(TR_LOSS_CALL_ABANDONED), 1U);
  EXPECT_EQ(totals(), (Totals{1, 7, 0, 0, 0}));
}

TEST_F(NestingTest, AFreeAfterAnAbandonedCallIsAFree) {
  main_.malloc(100, kHeap);
  main_.enter(kMalloc, {5});
  main_.sp = sp_ + 0x80;
  main_.free(kHeap);
  EXPECT_EQ(totals(), (Totals{1, 100, 1, 100, 0}));
  EXPECT_EQ(lost(TR_LOSS_CALL_ABANDONED), 1U);
}

TEST_F(NestingTest, AReturnThatMatchesNoCallIsIgnored) {
  main_.leave(kHeap);  // before any call of the thread
  main_.enter(kMalloc, {100});
  main_.sp = sp_ - 0x40;
  main_.leave(kHeap + 0x100);
  main_.sp = sp_ + 0x40;
  main_.leave(kHeap + 0x200);
  EXPECT_EQ(totals(), Totals{});
  main_.sp = sp_;
  main_.leave(kHeap);
  main_.leave(kHeap + 0x300);  // returned already
  EXPECT_EQ(totals(), (Totals{1, 100, 0, 0, 0}));
  EXPECT_NE(block(kHeap), nullptr);
}

TEST_F(NestingTest, ThreadsHaveTheirOwnCallsInFlight) {
  Thread other(kTgid, 4243);
  main_.enter(kMalloc, {100});
  other.enter(kMalloc, {30});
  main_.leave(kHeap);
  other.leave(kHeap + 0x100);
  EXPECT_EQ(block(kHeap)->size, 100U);
  EXPECT_EQ(block(kHeap + 0x100)->size, 30U);
  EXPECT_EQ(globals_.calls_nested, 0U);
}

TEST_F(NestingTest, AThreadThatTakesTheNumberOfADeadOneHasNothingInFlight) {
  main_.enter(kMalloc, {100});
  kernel_.forget_thread(main_.task.pid);
  main_.sp = sp_ - 0x40;
  main_.malloc(7, kHeap);
  EXPECT_EQ(totals(), (Totals{1, 7, 0, 0, 0}));
  EXPECT_EQ(lost(), 0U);
}

TEST_F(NestingTest, ACallInFlightOfAProcessWithoutTrampolineIsNotBelieved) {
  main_.task.trampoline = 0;
  main_.enter(kMalloc, {100});
  kernel_.memory.write(sp_, 0x555555555149);  // no return probe: the return address stays
  main_.sp = sp_ - 0x40;
  main_.enter(kMalloc, {7});
  EXPECT_EQ(lost(TR_LOSS_CALL_ABANDONED), 1U);
  EXPECT_EQ(globals_.calls_nested, 0U);
}

}  // namespace
}  // namespace tracer::bpf_host
