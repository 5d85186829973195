// SPDX-License-Identifier: Apache-2.0
// What the dynamic linker announces: events, epochs, holds.
#include "tests/bpf_host/harness.h"

namespace tracer::bpf_host {
namespace {

class LibraryTest : public HostTest {
 protected:
  std::uint32_t epoch() { return space(space_).epoch; }
};

TEST_F(LibraryTest, AnAnnouncementIsAnEventAndNothingElse) {
  main_.announce();
  main_.announce();
  EXPECT_EQ(epoch(), 0U);
  EXPECT_TRUE(kernel_.signals.empty());
  const std::vector<tr_event> events = events_of(TR_EVENT_LIBRARIES);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].tgid, kTgid);
  EXPECT_EQ(events[0].space, space_);
  EXPECT_EQ(events[0].value, 0U);
}

TEST_F(LibraryTest, TheTwoAnnouncementsOfADlcloseAdvanceTheEpoch) {
  main_.dlclose();
  EXPECT_EQ(epoch(), 0U) << "nothing is unmapped yet";
  EXPECT_TRUE(kernel_.drain_events().empty());
  main_.announce();
  EXPECT_EQ(epoch(), 1U);
  main_.announce();
  EXPECT_EQ(epoch(), 2U);
  main_.announce();  // a dlopen
  EXPECT_EQ(epoch(), 2U);
}

TEST_F(LibraryTest, ADlcloseInOneThreadSaysNothingAboutAnother) {
  const Thread other(kTgid, 4243);
  main_.dlclose();
  other.announce();
  other.announce();
  EXPECT_EQ(epoch(), 0U);
}

TEST_F(LibraryTest, EpochsOfTwoProcessesAreApart) {
  const std::uint32_t second = attach(5000);
  const Thread other(5000, 5000);
  other.dlclose();
  other.announce();
  EXPECT_EQ(epoch(), 0U);
  EXPECT_EQ(space(second).epoch, 1U);
}

TEST_F(LibraryTest, TheSameFramesInAnotherEpochAreAnotherStack) {
  main_.malloc(1, kHeap);
  main_.malloc(1, kHeap + 16);
  EXPECT_EQ(stack_id(kHeap), stack_id(kHeap + 16));
  main_.dlclose();
  main_.announce();
  main_.malloc(1, kHeap + 32);
  EXPECT_NE(stack_id(kHeap), stack_id(kHeap + 32));
  EXPECT_EQ(stack(stack_id(kHeap + 32)).epoch, 1U);
  EXPECT_EQ(frames(stack_id(kHeap)), frames(stack_id(kHeap + 32)));
}

TEST_F(LibraryTest, TheSameFramesInManyEpochsDoNotCollide) {
  for (std::uint64_t i = 0; i < 50; ++i) {
    main_.malloc(1, kHeap + i * 16);
    main_.dlclose();
    main_.announce();
    main_.announce();
  }
  EXPECT_EQ(kernel_.map("stack_ids").size(), 50U);
  EXPECT_EQ(lost(), 0U);
}

TEST_F(LibraryTest, OnlyAProcessThatIsHeldIsStopped) {
  attach(5000, TR_HOLD_LOADER);
  attach(5001, TR_HOLD_EXEC);
  const Thread held(5000, 5000);
  const Thread other(5001, 5001);
  main_.announce();
  other.announce();
  EXPECT_TRUE(kernel_.signals.empty());
  kernel_.drain_events();
  held.announce();
  EXPECT_EQ(kernel_.signals, (std::vector<std::uint32_t>{19}));
  EXPECT_EQ(events_of(TR_EVENT_LIBRARIES).at(0).value, 1U);
}

TEST_F(LibraryTest, AProcessIsNotStoppedAtTheCallOfDlclose) {
  attach(5000, TR_HOLD_LOADER);
  const Thread held(5000, 5000);
  held.dlclose();
  EXPECT_TRUE(kernel_.signals.empty());
}

TEST_F(LibraryTest, LibrariesAreFollowedBeforeRecordingBegins) {
  globals_.recording = 0;
  main_.announce();
  EXPECT_EQ(events_of(TR_EVENT_LIBRARIES).size(), 1U);
}

TEST_F(LibraryTest, AnUntracedProcessIsNothing) {
  const Thread stranger(6000, 6000);
  stranger.dlclose();
  stranger.announce();
  EXPECT_TRUE(kernel_.drain_events().empty());
}

TEST_F(LibraryTest, AnnouncementsWithoutThreadStateAreALoss) {
  kernel_.has_thread_memory = false;
  main_.announce();
  EXPECT_EQ(lost(TR_LOSS_THREAD_STATE), 1U);
}

}  // namespace
}  // namespace tracer::bpf_host
