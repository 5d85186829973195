// SPDX-License-Identifier: Apache-2.0
#include "tracing/address_space.h"

#include <gtest/gtest.h>

namespace tracer::tracing {
namespace {

proc::Mapping mapping(std::uint64_t start, std::uint64_t end, std::uint64_t inode) {
  proc::Mapping out;
  out.start = start;
  out.end = end;
  out.file_offset = 0x1000;
  out.inode = inode;
  out.executable = true;
  return out;
}

const auto kAlwaysSame = [](MappedLibrary&) { return true; };
const auto kNeverSame = [](MappedLibrary&) { return false; };

class AddressSpaceTest : public testing::Test {
 protected:
  library::Library a_{0, {}, "/lib/liba.so", UniqueFd()};
  library::Library b_{1, {}, "/lib/libb.so", UniqueFd()};
  const proc::Mapping map_a_ = mapping(0x10000, 0x20000, 1);
  const proc::Mapping map_b_ = mapping(0x30000, 0x40000, 2);
  AddressSpace space_;
};

TEST_F(AddressSpaceTest, ReportsWhatIsNewOnce) {
  EXPECT_EQ(space_.update({map_a_}, kAlwaysSame).appeared.size(), 1U);
  space_.add({map_a_, &a_, {}});
  const AddressSpace::Update second = space_.update({map_a_}, kAlwaysSame);
  EXPECT_TRUE(second.appeared.empty());
  EXPECT_TRUE(second.vanished.empty());
}

TEST_F(AddressSpaceTest, ALineThatIsListedTwiceIsOneMapping) {
  EXPECT_EQ(space_.update({map_a_, map_a_}, kAlwaysSame).appeared.size(), 1U);
  space_.add({map_a_, &a_, {}});
  EXPECT_TRUE(space_.update({map_a_, map_a_}, kAlwaysSame).appeared.empty());
  EXPECT_EQ(space_.mapped().size(), 1U);
}

TEST_F(AddressSpaceTest, IgnoresWhatIsNotExecutableOrNoFile) {
  proc::Mapping data = map_a_;
  data.executable = false;
  proc::Mapping jit = map_b_;
  jit.inode = 0;
  EXPECT_TRUE(space_.update({data, jit}, kAlwaysSame).appeared.empty());
}

TEST_F(AddressSpaceTest, WhatIsNotListedAnyMoreHasVanished) {
  space_.add({map_a_, &a_, {}});
  space_.add({map_b_, &b_, {}});
  const AddressSpace::Update update = space_.update({map_b_}, kAlwaysSame);
  ASSERT_EQ(update.vanished.size(), 1U);
  EXPECT_EQ(update.vanished[0].library, &a_);
  EXPECT_FALSE(space_.maps(a_));
  EXPECT_TRUE(space_.maps(b_));
}

TEST_F(AddressSpaceTest, AnotherFileThatLooksTheSameIsNewAndTheOldOneHasVanished) {
  space_.add({map_a_, &a_, {}});
  const AddressSpace::Update update = space_.update({map_a_}, kNeverSame);
  EXPECT_EQ(update.appeared.size(), 1U);
  ASSERT_EQ(update.vanished.size(), 1U);
  EXPECT_EQ(update.vanished[0].library, &a_);
}

TEST_F(AddressSpaceTest, AskedWhetherAFileIsTheSameOnlyForLinesThatLookTheSame) {
  space_.add({map_a_, &a_, {}});
  proc::Mapping longer = map_a_;
  longer.end += 0x1000;
  const AddressSpace::Update update = space_.update({longer}, [](MappedLibrary&) {
    ADD_FAILURE();
    return true;
  });
  EXPECT_EQ(update.appeared.size(), 1U);
  EXPECT_EQ(update.vanished.size(), 1U);
}

TEST_F(AddressSpaceTest, WhatTheComparisonLearnsIsKept) {
  space_.add({map_a_, &a_, {}});
  space_.update({map_a_}, [](MappedLibrary& mapped) {
    mapped.stamp.changed_ns = 7;
    return true;
  });
  EXPECT_EQ(space_.mapped().at(0).stamp.changed_ns, 7U);
}

TEST_F(AddressSpaceTest, FindsWhatIsMappedAtAnAddress) {
  space_.add({map_a_, &a_, {}});
  space_.add({map_b_, &b_, {}});
  EXPECT_EQ(space_.find(0xffff), nullptr);
  EXPECT_EQ(space_.find(0x10000)->library, &a_);
  EXPECT_EQ(space_.find(0x1ffff)->library, &a_);
  EXPECT_EQ(space_.find(0x20000), nullptr);
  EXPECT_EQ(space_.find(0x30000)->library, &b_);
}

TEST_F(AddressSpaceTest, KnowsWhatWasMappedBetweenTheAnnouncementsItWasReadIn) {
  space_.add({map_a_, &a_, {}});
  space_.set_announcements(4, 4);
  EXPECT_NE(space_.find_as_of(0x10000, 4), nullptr);
  EXPECT_EQ(space_.find_as_of(0x10000, 3), nullptr) << "something else may have been there before";
  EXPECT_NE(space_.find_as_of(0x10000, 5), nullptr) << "it is still there, as far as is known";
  EXPECT_TRUE(space_.is_older_than(5));
  EXPECT_FALSE(space_.is_older_than(4));
}

TEST_F(AddressSpaceTest, WhatHasBeenThereSinceAnEarlierReadingWasThereInBetween) {
  space_.add({map_a_, &a_, {}});
  space_.set_announcements(4, 4);
  space_.add({map_b_, &b_, {}});
  space_.set_announcements(6, 8);
  EXPECT_NE(space_.find_as_of(0x10000, 7), nullptr);
  EXPECT_EQ(space_.find_exactly(0x10000, 7), nullptr) << "it may have been away for a moment";
  EXPECT_EQ(space_.find_as_of(0x30000, 7), nullptr) << "it may have come with the eighth";
  EXPECT_NE(space_.find_as_of(0x30000, 8), nullptr);
}

TEST_F(AddressSpaceTest, TheEndOfAProcessEndsEveryMapping) {
  space_.add({map_a_, &a_, {}});
  space_.add({map_b_, &b_, {}});
  EXPECT_EQ(space_.end().size(), 2U);
  EXPECT_TRUE(space_.mapped().empty());
  EXPECT_TRUE(space_.end().empty());
}

}  // namespace
}  // namespace tracer::tracing
