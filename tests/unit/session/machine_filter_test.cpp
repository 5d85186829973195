// SPDX-License-Identifier: Apache-2.0
#include "session/machine_filter.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstring>

#include "proc/cgroup.h"

namespace tracer::session {
namespace {

tr_filter filled(const proc::ProcessFilter& filter) {
  Result<tr_filter> made = kernel_filter(filter);
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().message());
  return made.ok() ? *made : tr_filter{};
}

TEST(KernelFilter, OfNothingLetsEverybodyPass) {
  const tr_filter made = filled({});
  const tr_filter nothing{};
  EXPECT_EQ(std::memcmp(&made, &nothing, sizeof(made)), 0);
}

TEST(KernelFilter, HasNamesAndUsersAsTheyWereGiven) {
  const tr_filter made = filled({.comms = {"nginx", "*sh"}, .users = {0, 33, 65534}});
  ASSERT_EQ(made.comm_count, 2U);
  EXPECT_STREQ(made.comm[0], "nginx");
  EXPECT_STREQ(made.comm[1], "*sh");
  ASSERT_EQ(made.uid_count, 3U);
  EXPECT_EQ(made.uid[0], 0U);
  EXPECT_EQ(made.uid[1], 33U);
  EXPECT_EQ(made.uid[2], 65534U);
  EXPECT_EQ(made.cgroup_count, 0U);
  EXPECT_EQ(made.has_pid_namespace, 0U);
}

TEST(KernelFilter, HasRoomForTheLongestName) {
  const std::string longest = proc::comm_glob("*a*b*c*d*e*f*g*h*i*j*k*l*m*n*o*p*");
  ASSERT_EQ(longest.size(), proc::kLongestCommGlob);
  const tr_filter made = filled({.comms = {longest}});
  EXPECT_EQ(std::string(made.comm[0]), longest) << "with a zero byte at its end";
}

TEST(KernelFilter, TakesAsManyValuesAsThereIsRoomForAndNoMore) {
  const std::vector<std::string> names(TR_FILTER_ENTRIES, "a");
  EXPECT_EQ(filled({.comms = names}).comm_count, std::uint32_t{TR_FILTER_ENTRIES});
  const std::vector<std::string> more(TR_FILTER_ENTRIES + 1, "a");
  const Result<tr_filter> names_refused = kernel_filter({.comms = more});
  ASSERT_FALSE(names_refused.ok());
  EXPECT_EQ(names_refused.error().kind(), ErrorKind::kUsage);
  EXPECT_NE(names_refused.error().message().find("--comm: 17 values, 16"), std::string::npos);
  EXPECT_FALSE(names_refused.error().hint().empty());
  const Result<tr_filter> users_refused = kernel_filter({.users = std::vector<uid_t>(TR_FILTER_ENTRIES + 1, 1)});
  ASSERT_FALSE(users_refused.ok());
  EXPECT_NE(users_refused.error().message().find("--user"), std::string::npos);
}

TEST(KernelFilter, NamesAPidNamespaceByAProcessOrByItsNumber) {
  struct stat own {};
  ASSERT_EQ(::stat("/proc/self/ns/pid", &own), 0);
  // As the kernel encodes devices: 20 bits of minor.
  const std::uint64_t device = std::uint64_t{major(own.st_dev)} << 20 | minor(own.st_dev);
  for (const proc::PidNamespace& given :
       {proc::PidNamespace{.pid = ::getpid()}, proc::PidNamespace{.inode = own.st_ino}}) {
    const tr_filter made = filled({.pidns = given});
    EXPECT_EQ(made.has_pid_namespace, 1U);
    EXPECT_EQ(made.pid_namespace_inode, own.st_ino);
    EXPECT_EQ(made.pid_namespace_device, device);
  }
}

TEST(KernelFilter, RefusesAPidNamespaceOfNobody) {
  const Result<tr_filter> made = kernel_filter({.pidns = proc::PidNamespace{.pid = 1 << 22}});
  ASSERT_FALSE(made.ok());
  EXPECT_NE(made.error().message().find("--pidns"), std::string::npos);
  EXPECT_NE(made.error().hint().find("lsns"), std::string::npos);
}

TEST(KernelFilter, RefusesCgroupsAndContainersThatAreNotThere) {
  EXPECT_FALSE(kernel_filter({.cgroups = {"/no/such/cgroup"}}).ok());
  EXPECT_FALSE(kernel_filter({.containers = {"0123456789ab"}}).ok());
}

TEST(KernelFilter, NamesACgroupByItsNumberAndItsDepth) {
  if (!proc::CgroupTree::open().ok()) GTEST_SKIP() << "no whole cgroup2 hierarchy is mounted here";
  const tr_filter made = filled({.cgroups = {"/"}});
  ASSERT_EQ(made.cgroup_count, 1U);
  EXPECT_EQ(made.cgroup_level[0], 0U);
  EXPECT_EQ(made.cgroup_id[0], 1U) << "the root of every kernfs";
}

}  // namespace
}  // namespace tracer::session
