// SPDX-License-Identifier: Apache-2.0
// What the dynamic linker announces: events and holds.
#include "tests/bpf_host/harness.h"

namespace tracer::bpf_host {
namespace {

class LibraryTest : public HostTest {};

TEST_F(LibraryTest, AnAnnouncementIsAnEventAndNothingElse) {
  main_.announce();
  main_.announce();
  EXPECT_TRUE(kernel_.signals.empty());
  const std::vector<tr_event> events = events_of(TR_EVENT_LIBRARIES);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].tgid, kTgid);
  EXPECT_EQ(events[0].space, space_);
  EXPECT_EQ(events[0].value, 0U);
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

TEST_F(LibraryTest, LibrariesAreFollowedWhileNothingIsRecorded) {
  globals_.recording = 0;
  main_.announce();
  EXPECT_EQ(events_of(TR_EVENT_LIBRARIES).size(), 1U);
}

TEST_F(LibraryTest, AnUntracedProcessIsNothing) {
  const Thread stranger(6000, 6000);
  stranger.announce();
  EXPECT_TRUE(kernel_.drain_events().empty());
}

}  // namespace
}  // namespace tracer::bpf_host
