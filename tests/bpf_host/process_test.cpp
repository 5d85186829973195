// SPDX-License-Identifier: Apache-2.0
// fork, vfork, exec and exit: who is in which address space.
#include "tests/bpf_host/harness.h"

namespace tracer::bpf_host {
namespace {

class ProcessTest : public HostTest {
 protected:
  static constexpr std::uint32_t kChild = 5000;

  Thread child_{kChild, kChild};
};

TEST_F(ProcessTest, AForkedChildGetsASpaceOfItsOwn) {
  kernel_.time_ns = 99;
  host_process_fork(&main_.task, &child_.task, 0);
  ASSERT_NE(process(kChild), nullptr);
  const std::uint32_t born = process(kChild)->space;
  EXPECT_NE(born, space_);
  EXPECT_EQ(space(born).tgid, kChild);
  EXPECT_EQ(space(born).parent, space_);
  EXPECT_EQ(space(born).users, 1U);
  EXPECT_EQ(space(space_).users, 1U);

  const std::vector<tr_event> events = events_of(TR_EVENT_FORK);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].tgid, kChild);
  EXPECT_EQ(events[0].space, born);
  EXPECT_EQ(events[0].value, kTgid);
  EXPECT_EQ(events[0].time_ns, 99U);
}

TEST_F(ProcessTest, BlocksOfAForkedChildAreItsOwn) {
  host_process_fork(&main_.task, &child_.task, 0);
  main_.malloc(100, kHeap);
  child_.malloc(30, kHeap);
  const std::uint32_t born = process(kChild)->space;
  EXPECT_EQ(space(space_).live_bytes, 100U);
  EXPECT_EQ(space(born).live_bytes, 30U);
  child_.free(kHeap + 0x100);  // copied by the fork, never seen in this space
  EXPECT_EQ(space(born).free_unknown, 1U);
  EXPECT_EQ(space(space_).free_unknown, 0U);
}

TEST_F(ProcessTest, WithoutFollowAForkIsNothing) {
  config_.follow = 0;
  host_process_fork(&main_.task, &child_.task, 0);
  EXPECT_EQ(process(kChild), nullptr);
  EXPECT_EQ(globals_.next_space, 2U);
  EXPECT_TRUE(kernel_.drain_events().empty());
}

TEST_F(ProcessTest, AForkOfAnUntracedProcessIsNothing) {
  const Thread stranger(6000, 6000);
  host_process_fork(&stranger.task, &child_.task, 0);
  EXPECT_EQ(process(kChild), nullptr);
  EXPECT_EQ(globals_.next_space, 2U);
}

TEST_F(ProcessTest, ANewThreadIsNothing) {
  const Thread thread(kTgid, 4243);
  host_process_fork(&main_.task, &thread.task, 1);
  EXPECT_EQ(space(space_).users, 1U);
  EXPECT_EQ(globals_.next_space, 2U);
  EXPECT_TRUE(kernel_.drain_events().empty());
}

TEST_F(ProcessTest, AVforkChildSharesTheSpaceEvenWithoutFollow) {
  config_.follow = 0;
  host_process_fork(&main_.task, &child_.task, 1);
  ASSERT_NE(process(kChild), nullptr);
  EXPECT_EQ(process(kChild)->space, space_);
  EXPECT_EQ(space(space_).users, 2U);
  main_.malloc(100, kHeap);
  child_.free(kHeap);  // the same heap
  EXPECT_EQ(space(space_).live_bytes, 0U);
  EXPECT_EQ(space(space_).free_unknown, 0U);
}

TEST_F(ProcessTest, ExecTakesAVforkChildOutOfItsParentsSpace) {
  host_process_fork(&main_.task, &child_.task, 1);
  host_process_exec(&child_.task);
  ASSERT_NE(process(kChild), nullptr);
  const std::uint32_t own = process(kChild)->space;
  EXPECT_NE(own, space_);
  EXPECT_EQ(space(own).parent, space_);
  EXPECT_EQ(space(own).tgid, kChild);
  EXPECT_EQ(space(space_).users, 1U);
  EXPECT_EQ(process(kTgid)->space, space_);
}

TEST_F(ProcessTest, WithoutFollowExecEndsTheTraceOfAVforkChild) {
  config_.follow = 0;
  host_process_fork(&main_.task, &child_.task, 1);
  kernel_.drain_events();
  host_process_exec(&child_.task);
  EXPECT_EQ(process(kChild), nullptr);
  EXPECT_EQ(space(space_).users, 1U);
  EXPECT_EQ(globals_.next_space, 2U);
  EXPECT_TRUE(kernel_.drain_events().empty());
}

TEST_F(ProcessTest, ExitTakesAVforkChildOutOfItsParentsSpace) {
  host_process_fork(&main_.task, &child_.task, 1);
  child_.task.live_threads = 0;
  host_process_exit(&child_.task);
  EXPECT_EQ(process(kChild), nullptr);
  EXPECT_EQ(space(space_).users, 1U);
}

TEST_F(ProcessTest, ExecBeginsANewSpaceAndEndsTheOldOneEvenWithoutFollow) {
  config_.follow = 0;
  main_.malloc(100, kHeap);
  kernel_.drain_events();
  host_process_exec(&main_.task);
  const std::uint32_t now = process(kTgid)->space;
  EXPECT_NE(now, space_);
  EXPECT_EQ(space(space_).users, 0U);
  EXPECT_EQ(space(now).users, 1U);
  EXPECT_EQ(space(now).live_bytes, 0U);
  const std::vector<tr_event> events = events_of(TR_EVENT_EXEC);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].space, now);
  EXPECT_EQ(events[0].value, 0U);
}

TEST_F(ProcessTest, ExecForgetsTheCallInFlightAndTheLastFree) {
  main_.malloc(100, kHeap);
  main_.free(kHeap);
  main_.enter(kMalloc, {100});
  host_process_exec(&main_.task);
  const std::uint32_t now = process(kTgid)->space;
  main_.sp -= 0x40;  // would be inside the old call, and below the old free
  main_.free(kHeap);
  EXPECT_EQ(space(now).free_unknown, 1U);
  main_.malloc(30, kHeap);
  EXPECT_EQ(totals(now), (Totals{1, 30, 0, 0, 0}));
  EXPECT_EQ(globals_.calls_nested, 0U);
  EXPECT_EQ(lost(), 0U);
}

TEST_F(ProcessTest, ExecOfAnUntracedProcessIsNothing) {
  host_process_exec(&child_.task);
  EXPECT_EQ(globals_.next_space, 2U);
  EXPECT_TRUE(kernel_.drain_events().empty());
}

TEST_F(ProcessTest, AHeldProcessIsStoppedAfterItsExecAndNoOther) {
  attach(kChild, TR_HOLD_EXEC);
  host_process_exec(&main_.task);
  EXPECT_TRUE(kernel_.signals.empty());
  kernel_.drain_events();
  host_process_exec(&child_.task);
  EXPECT_EQ(kernel_.signals, (std::vector<std::uint32_t>{19}));
  EXPECT_EQ(events_of(TR_EVENT_EXEC).at(0).value, 1U);
}

TEST_F(ProcessTest, HoldingAtTheLoaderDoesNotStopAtExec) {
  attach(kChild, TR_HOLD_LOADER);
  host_process_exec(&child_.task);
  EXPECT_TRUE(kernel_.signals.empty());
}

TEST_F(ProcessTest, AChildIsNotHeldBecauseItsParentIs) {
  attach(7000, TR_HOLD_EXEC | TR_HOLD_LOADER);
  const Thread parent(7000, 7000);
  host_process_fork(&parent.task, &child_.task, 0);
  EXPECT_EQ(process(kChild)->hold, 0U);
}

TEST_F(ProcessTest, OnlyTheLastThreadEndsTheProcess) {
  Thread other(kTgid, 4243);
  other.task.live_threads = 1;
  host_process_exit(&other.task);
  EXPECT_NE(process(kTgid), nullptr);
  EXPECT_EQ(space(space_).users, 1U);
  EXPECT_TRUE(kernel_.drain_events().empty());

  main_.task.live_threads = 0;
  main_.task.exit_code = 3 << 8;
  host_process_exit(&main_.task);
  EXPECT_EQ(process(kTgid), nullptr);
  EXPECT_EQ(space(space_).users, 0U);
  const std::vector<tr_event> events = events_of(TR_EVENT_EXIT);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].space, space_);
  EXPECT_EQ(events[0].value, 3U << 8);
}

TEST_F(ProcessTest, TwoThreadsThatExitAtOneInstantEndTheProcessOnce) {
  // Both have counted themselves out before either reaches the tracepoint.
  Thread other(kTgid, 4243);
  main_.task.live_threads = other.task.live_threads = 0;
  kernel_.interrupt_before(FakeKernel::Step::kRemove, "processes", [&] { host_process_exit(&other.task); });
  host_process_exit(&main_.task);
  EXPECT_EQ(space(space_).users, 0U);
  EXPECT_EQ(events_of(TR_EVENT_EXIT).size(), 1U);
}

TEST_F(ProcessTest, ACallInFlightSurvivesTheEndOfTheTrace) {
  main_.enter(kMalloc, {100});
  main_.task.live_threads = 0;
  host_process_exit(&main_.task);
  main_.leave(kHeap);
  EXPECT_EQ(totals(), (Totals{1, 100, 0, 0, 0}));
}

TEST_F(ProcessTest, WhenAllSpacesAreUsedAChildIsALoss) {
  globals_.next_space = TR_MAX_SPACES;
  host_process_fork(&main_.task, &child_.task, 0);
  EXPECT_EQ(process(kChild), nullptr);
  EXPECT_EQ(lost(TR_LOSS_SPACES_FULL), 1U);
  EXPECT_EQ(globals_.next_space, static_cast<std::uint32_t>(TR_MAX_SPACES));
}

TEST_F(ProcessTest, WhenAllSpacesAreUsedExecEndsTheTrace) {
  globals_.next_space = TR_MAX_SPACES;
  host_process_exec(&main_.task);
  EXPECT_EQ(process(kTgid), nullptr);
  EXPECT_EQ(space(space_).users, 0U);
  EXPECT_EQ(lost(TR_LOSS_SPACES_FULL), 1U);
}

TEST_F(ProcessTest, WhenTheTableOfProcessesIsFullAChildIsALossAndLeavesItsSpace) {
  kernel_.set_capacity("processes", 1);
  const tr_process traced{space_, 0};
  const std::uint32_t tgid = kTgid;
  ASSERT_EQ(kernel_.map("processes").update(&tgid, &traced, 0), 0);
  host_process_fork(&main_.task, &child_.task, 1);
  EXPECT_EQ(space(space_).users, 1U);
  host_process_fork(&main_.task, &child_.task, 0);
  EXPECT_EQ(space(2).users, 0U);
  EXPECT_EQ(lost(TR_LOSS_SPACES_FULL), 2U);
  EXPECT_TRUE(kernel_.drain_events().empty());
}

TEST_F(ProcessTest, AnEventThatFindsNoRoomIsALoss) {
  kernel_.set_capacity("events", 0);
  host_process_fork(&main_.task, &child_.task, 0);
  EXPECT_NE(process(kChild), nullptr);
  EXPECT_EQ(lost(TR_LOSS_EVENTS_FULL), 1U);
}

}  // namespace
}  // namespace tracer::bpf_host
