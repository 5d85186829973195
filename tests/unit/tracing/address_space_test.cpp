// SPDX-License-Identifier: Apache-2.0
#include "tracing/address_space.h"

#include <gtest/gtest.h>

namespace tracer::tracing {
namespace {

proc::Mapping mapping(std::uint64_t start, std::uint64_t end, std::uint64_t inode, const std::string& path) {
  proc::Mapping out;
  out.start = start;
  out.end = end;
  out.file_offset = 0x1000;
  out.inode = inode;
  out.executable = true;
  out.path = path;
  return out;
}

const auto kAlwaysSame = [](const ExecutableRange&) { return true; };
const auto kNeverSame = [](const ExecutableRange&) { return false; };

class AddressSpaceTest : public testing::Test {
 protected:
  library::Library a_{0, {}, "/lib/liba.so", UniqueFd()};
  library::Library b_{1, {}, "/lib/libb.so", UniqueFd()};
  const proc::Mapping map_a_ = mapping(0x10000, 0x20000, 1, "/lib/liba.so");
  const proc::Mapping map_b_ = mapping(0x10000, 0x20000, 2, "/lib/libb.so");
  AddressSpace space_;
};

TEST_F(AddressSpaceTest, ReportsWhatIsNewOnce) {
  EXPECT_EQ(space_.update({map_a_}, 0, kAlwaysSame).appeared.size(), 1U);
  space_.add(map_a_, &a_, 0);
  const AddressSpace::Update second = space_.update({map_a_}, 0, kNeverSame);
  EXPECT_TRUE(second.appeared.empty());
  EXPECT_TRUE(second.vanished.empty());
}

TEST_F(AddressSpaceTest, ALineThatIsListedTwiceIsOneRange) {
  EXPECT_EQ(space_.update({map_a_, map_a_}, 0, kAlwaysSame).appeared.size(), 1U);
  space_.add(map_a_, &a_, 0);
  EXPECT_TRUE(space_.update({map_a_, map_a_}, 0, kAlwaysSame).appeared.empty());
}

TEST_F(AddressSpaceTest, IgnoresWhatIsNotExecutable) {
  proc::Mapping data = map_a_;
  data.executable = false;
  EXPECT_TRUE(space_.update({data}, 0, kAlwaysSame).appeared.empty());
}

TEST_F(AddressSpaceTest, AnAddressOutsideEveryRangeMeansNothing) {
  space_.add(map_a_, &a_, 0);
  EXPECT_FALSE(space_.resolve(0xffff, 0).has_value());
  EXPECT_FALSE(space_.resolve(0x20000, 0).has_value());
  EXPECT_TRUE(space_.resolve(0x10000, 0).has_value());
  EXPECT_TRUE(space_.resolve(0x1ffff, 0).has_value());
}

TEST_F(AddressSpaceTest, AnAddressThatTwoLibrariesHadInTurnMeansEachInItsEpoch) {
  space_.update({map_a_}, 0, kAlwaysSame);
  space_.add(map_a_, &a_, 0);
  const AddressSpace::Update replaced = space_.update({map_b_}, 2, kAlwaysSame);
  ASSERT_EQ(replaced.appeared.size(), 1U);
  ASSERT_EQ(replaced.vanished.size(), 1U);
  EXPECT_EQ(replaced.vanished[0].library, &a_);
  space_.add(map_b_, &b_, 2);
  EXPECT_EQ(space_.resolve(0x10010, 0)->library, &a_);
  EXPECT_EQ(space_.resolve(0x10010, 2)->library, &b_);
}

TEST_F(AddressSpaceTest, AnAddressOfAnUnloadedLibraryMeansNothingLater) {
  space_.update({map_a_}, 0, kAlwaysSame);
  space_.add(map_a_, &a_, 0);
  space_.update({}, 2, kAlwaysSame);
  EXPECT_EQ(space_.resolve(0x10010, 0)->library, &a_);
  EXPECT_FALSE(space_.resolve(0x10010, 2).has_value());
}

TEST_F(AddressSpaceTest, ALibraryThatStaysIsValidInLaterEpochsOnlyAfterItWasSeenThere) {
  space_.update({map_a_}, 0, kAlwaysSame);
  space_.add(map_a_, &a_, 0);
  EXPECT_FALSE(space_.resolve(0x10010, 2).has_value());
  space_.update({map_a_}, 2, kAlwaysSame);
  EXPECT_EQ(space_.resolve(0x10010, 2)->library, &a_);
}

TEST_F(AddressSpaceTest, TheSameLineInALaterEpochIsNotBelievedWithoutACheck) {
  space_.update({map_a_}, 0, kAlwaysSame);
  space_.add(map_a_, &a_, 0);
  const AddressSpace::Update update = space_.update({map_a_}, 2, kNeverSame);
  EXPECT_EQ(update.appeared.size(), 1U);
  EXPECT_EQ(update.vanished.size(), 1U);
}

TEST_F(AddressSpaceTest, CodeWithoutAFileKeepsItsAddress) {
  space_.add(mapping(0x30000, 0x31000, 0, "[vdso]"), nullptr, 0);
  const std::optional<ResolvedAddress> found = space_.resolve(0x30123, 0);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->library, nullptr);
  EXPECT_EQ(found->module_address, 0x30123U);
}

TEST_F(AddressSpaceTest, WithoutAnImageTheFileOffsetStandsIn) {
  space_.add(map_a_, &a_, 0);
  EXPECT_EQ(space_.resolve(0x10010, 0)->module_address, 0x1010U);
}

TEST_F(AddressSpaceTest, AForkedChildBeginsWithTheLiveRangesInAnEpochOfItsOwn) {
  space_.update({map_a_}, 0, kAlwaysSame);
  space_.add(map_a_, &a_, 0);
  space_.update({map_b_}, 4, kAlwaysSame);
  space_.add(map_b_, &b_, 4);
  const AddressSpace child = space_.forked();
  ASSERT_EQ(child.ranges().size(), 1U);
  EXPECT_EQ(child.resolve(0x10010, 0)->library, &b_);
  EXPECT_FALSE(child.resolve(0x10010, 1).has_value());
}

TEST_F(AddressSpaceTest, AfterTheEndTheLastMeaningStays) {
  space_.update({map_a_}, 0, kAlwaysSame);
  space_.add(map_a_, &a_, 0);
  EXPECT_EQ(space_.end(2).size(), 1U);
  EXPECT_TRUE(space_.end(2).empty());
  EXPECT_EQ(space_.resolve(0x10010, 2)->library, &a_);
}

}  // namespace
}  // namespace tracer::tracing
