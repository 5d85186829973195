// SPDX-License-Identifier: Apache-2.0
// All processes are traced: who becomes known, and when.
#include <cstring>
#include <string>
#include <tuple>

#include "tests/bpf_host/harness.h"

namespace tracer::bpf_host {
namespace {

constexpr std::uint32_t kOther = 6000;

class AdoptTest : public HostTest {
 protected:
  AdoptTest() : other_(kOther, kOther) {
    config_.all = 1;
    name("server");
  }
  void name(const std::string& comm) { std::strncpy(other_.task.comm, comm.c_str(), TR_COMM - 1); }
  void add_comm(const std::string& pattern) {
    std::strncpy(filter_.comm[filter_.comm_count++], pattern.c_str(), TR_COMM_GLOB - 1);
  }
  bool adopts() {
    other_.malloc(100, kHeap);
    return process(kOther) != nullptr && process(kOther)->space != 0;
  }

  tr_filter& filter_ = *host_filter();
  Thread other_;
};

TEST_F(AdoptTest, AProcessIsKnownFromItsFirstAllocationOnAndThatOneIsCounted) {
  other_.task.uid = 33;
  other_.task.parent_tgid = 1;
  other_.task.started_ns = 77;
  ASSERT_TRUE(adopts());
  const std::uint32_t space = process(kOther)->space;
  EXPECT_EQ(totals(space), (Totals{1, 100, 0, 0, 0}));
  const std::vector<tr_event> events = events_of(TR_EVENT_ADOPT);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].tgid, kOther);
  EXPECT_EQ(events[0].space, space);
  const auto& origin = kernel_.at<tr_origin>("origins", space);
  EXPECT_STREQ(origin.comm, "server");
  EXPECT_EQ(origin.uid, 33U);
  EXPECT_EQ(origin.started_ns, 77U);
  EXPECT_EQ(origin.parent_tgid, 1U);
}

TEST_F(AdoptTest, NobodyIsAdoptedWhenNotAllAreTraced) {
  config_.all = 0;
  EXPECT_FALSE(adopts());
  EXPECT_TRUE(kernel_.drain_events().empty());
}

TEST_F(AdoptTest, AProcessThatIsNotWantedIsAskedAboutOnce) {
  add_comm("client");
  EXPECT_FALSE(adopts());
  ASSERT_NE(process(kOther), nullptr);
  filter_.comm_count = 0;
  EXPECT_FALSE(adopts()) << "it is known as not wanted";
  host_process_exit((other_.task.live_threads = 0, &other_.task));
  EXPECT_EQ(process(kOther), nullptr);
  EXPECT_TRUE(kernel_.drain_events().empty());
}

TEST_F(AdoptTest, AfterAnExecItIsAskedAboutAgain) {
  add_comm("client");
  EXPECT_FALSE(adopts());
  host_process_exec(&other_.task);
  name("client");
  EXPECT_TRUE(adopts());
}

TEST_F(AdoptTest, AnExecEndsTheHeapAndTheNextAllocationBeginsAnother) {
  ASSERT_TRUE(adopts());
  const std::uint32_t before = process(kOther)->space;
  kernel_.drain_events();
  host_process_exec(&other_.task);
  EXPECT_EQ(process(kOther), nullptr);
  EXPECT_EQ(space(before).users, 0U);
  const std::vector<tr_event> events = events_of(TR_EVENT_EXEC);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].space, before);
  ASSERT_TRUE(adopts());
  EXPECT_NE(process(kOther)->space, before);
  EXPECT_EQ(totals(process(kOther)->space), (Totals{1, 100, 0, 0, 0}));
}

TEST_F(AdoptTest, OneThatIsExcludedStaysSoThroughAnExec) {
  const tr_process excluded{0, TR_NEVER_TRACED};
  kernel_.map("processes").update(&kOther, &excluded, 0);
  EXPECT_FALSE(adopts());
  host_process_exec(&other_.task);
  EXPECT_FALSE(adopts());
}

TEST_F(AdoptTest, AForkedChildIsKnownWhenItAllocatesAndAVforkedOneIsInItsParentsHeap) {
  ASSERT_TRUE(adopts());
  kernel_.drain_events();
  Thread child(7000, 7000);
  host_process_fork(&other_.task, &child.task, 0);
  EXPECT_EQ(process(7000), nullptr);
  Thread sharing(7001, 7001);
  host_process_fork(&other_.task, &sharing.task, 1);
  EXPECT_EQ(process(7001)->space, process(kOther)->space);
  child.malloc(1, kHeap);
  EXPECT_NE(process(7000)->space, process(kOther)->space);
}

TEST_F(AdoptTest, TwoThreadsThatAllocateAtOnceAreOneProcess) {
  Thread second(kOther, kOther + 1);
  second.task.live_threads = 2;
  kernel_.interrupt_before(FakeKernel::Step::kUpdate, "processes", [&] { second.malloc(10, kHeap + 0x1000); });
  ASSERT_TRUE(adopts());
  const std::uint32_t space = process(kOther)->space;
  EXPECT_EQ(totals(space).alloc_objects, 2U);
  EXPECT_EQ(this->space(space).users, 1U);
  EXPECT_EQ(events_of(TR_EVENT_ADOPT).size(), 1U);
  EXPECT_EQ(kernel_.map("free_spaces").size(), 1U) << "the number taken in vain is given back";
}

TEST_F(AdoptTest, WithoutRoomEachCallIsALoss) {
  kernel_.set_capacity("processes", 0);
  EXPECT_FALSE(adopts());
  EXPECT_FALSE(adopts());
  EXPECT_EQ(lost(TR_LOSS_SPACES_FULL), 2U);
}

TEST_F(AdoptTest, FiltersOfDifferentKindsMustAllPassAndOfOneKindAny) {
  filter_.uid_count = 2;
  filter_.uid[0] = 5;
  filter_.uid[1] = 33;
  add_comm("serv*");
  other_.task.uid = 33;
  EXPECT_TRUE(adopts());
  host_process_exec(&other_.task);
  other_.task.uid = 34;
  EXPECT_FALSE(adopts());
  host_process_exec(&other_.task);
  other_.task.uid = 5;
  name("client");
  EXPECT_FALSE(adopts());
}

TEST_F(AdoptTest, ACgroupPassesWithWhatIsBelowIt) {
  filter_.cgroup_count = 1;
  filter_.cgroup_id[0] = 20;
  filter_.cgroup_level[0] = 1;
  other_.task.cgroups[0] = 1;
  other_.task.cgroups[1] = 21;
  EXPECT_FALSE(adopts());
  host_process_exec(&other_.task);
  other_.task.cgroups[1] = 20;
  other_.task.cgroups[2] = 300;
  EXPECT_TRUE(adopts());
}

TEST_F(AdoptTest, APidNamespacePassesByItsInode) {
  filter_.has_pid_namespace = 1;
  filter_.pid_namespace_inode = 4026531836;
  EXPECT_FALSE(adopts());
  host_process_exec(&other_.task);
  other_.task.pid_namespace = 4026531836;
  EXPECT_TRUE(adopts());
}

class GlobTest : public AdoptTest, public testing::WithParamInterface<std::tuple<const char*, const char*, bool>> {};

TEST_P(GlobTest, Matches) {
  const auto& [pattern, comm, matches] = GetParam();
  add_comm(pattern);
  name(comm);
  EXPECT_EQ(adopts(), matches) << pattern << " against " << comm;
}

INSTANTIATE_TEST_SUITE_P(Names, GlobTest,
                         testing::Values(std::tuple{"server", "server", true}, std::tuple{"server", "servers", false},
                                         std::tuple{"servers", "server", false}, std::tuple{"*", "", true},
                                         std::tuple{"*", "x", true}, std::tuple{"?", "", false},
                                         std::tuple{"?", "x", true}, std::tuple{"s*r", "server", true},
                                         std::tuple{"s*r", "serve", false}, std::tuple{"*er", "server", true},
                                         std::tuple{"*e?v*r", "server", true}, std::tuple{"*e?x*r", "server", false},
                                         std::tuple{"*e?*r", "server", true}, std::tuple{"**a**", "banana", true},
                                         std::tuple{"*na", "banana", true}, std::tuple{"*nab", "banana", false},
                                         std::tuple{"aaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaa", true},
                                         std::tuple{"*a*a*a*a*a*a*ab", "aaaaaaaaaaaaaaa", false},
                                         std::tuple{"aaaaaaaaaaaaaa*", "aaaaaaaaaaaaaaa", true}));

}  // namespace
}  // namespace tracer::bpf_host
