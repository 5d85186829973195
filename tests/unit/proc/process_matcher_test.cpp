// SPDX-License-Identifier: Apache-2.0
#include "proc/process_matcher.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace tracer::proc {
namespace {

namespace fs = std::filesystem;

const std::string kContainer(64, 'a');

/// A /proc with two processes: 42, a web server of user 33 in a cgroup; 43, a shell of user 0 in a container.
class ProcessMatcherTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "tracer-matcher-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    add(42, "nginx", 33, "0::/system.slice/web.service\n");
    add(43, "bash", 0, "0::/docker/" + kContainer + "\n");
    fs::create_directories(root_ / "sys");
  }
  void TearDown() override { fs::remove_all(root_); }
  void add(pid_t pid, const std::string& comm, uid_t user, const std::string& cgroup) {
    const fs::path folder = root_ / std::to_string(pid);
    fs::create_directories(folder);
    const std::string id = std::to_string(pid);
    std::ofstream(folder / "stat") << id << " (" << comm
                                   << ") S 1 42 42 0 -1 4194560 10 0 0 0 1 2 0 0 20 0 2 0 987654 100 200 0";
    std::ofstream(folder / "status") << "Name:\t" << comm << "\nTgid:\t" << id << "\nUid:\t" << user << "\t0\t0\t0\n";
    std::ofstream(folder / "cmdline") << comm;
    std::ofstream(folder / "cgroup") << cgroup;
  }
  bool matches(const ProcessFilter& filter, pid_t pid = 42) {
    const Result<ProcessMatcher> matcher = ProcessMatcher::create(filter, root_.string());
    EXPECT_TRUE(matcher.ok());
    return matcher->matches(pid);
  }

  fs::path root_;
};

TEST_F(ProcessMatcherTest, WithoutAFilterEverythingThatRunsMatches) {
  EXPECT_TRUE(matches({}));
  EXPECT_FALSE(matches({}, 44)) << "there is none";
}

TEST_F(ProcessMatcherTest, ANameMatchesAnyOfTheGlobs) {
  EXPECT_TRUE(matches({.comms = {"ba*", "ngin?"}}));
  EXPECT_FALSE(matches({.comms = {"ba*", "ngin"}}));
}

TEST_F(ProcessMatcherTest, EachKindOfFilterHasToPass) {
  EXPECT_TRUE(matches({.comms = {"nginx"}, .users = {5, 33}}));
  EXPECT_FALSE(matches({.comms = {"nginx"}, .users = {5}}));
  EXPECT_FALSE(matches({.comms = {"nginx"}, .users = {33}, .excluded_pids = {42}}));
}

TEST_F(ProcessMatcherTest, AContainerIsFoundByItsCgroup) {
  EXPECT_TRUE(matches({.containers = {"aaaaaaa"}}, 43));
  EXPECT_FALSE(matches({.containers = {"aaaaaaa"}}));
}

TEST_F(ProcessMatcherTest, ANamespaceThatIsNotThereIsAnError) {
  EXPECT_FALSE(ProcessMatcher::create({.pidns = PidNamespace{.pid = 44}}, root_.string()).ok());
}

TEST_F(ProcessMatcherTest, FindsAllThatMatchUpToALimit) {
  const Result<ProcessMatcher> matcher = ProcessMatcher::create({}, root_.string());
  EXPECT_EQ(matcher->find(10).size(), 2U);
  EXPECT_EQ(matcher->find(1).size(), 1U);
}

TEST(MatchesGlob, ComparesAsTheKernelHalfDoes) {
  EXPECT_TRUE(matches_glob("*", ""));
  EXPECT_TRUE(matches_glob("s*r", "server"));
  EXPECT_TRUE(matches_glob("**a**", "banana"));
  EXPECT_FALSE(matches_glob("s*r", "serve"));
  EXPECT_FALSE(matches_glob("?", ""));
  EXPECT_FALSE(matches_glob("servers", "server"));
  EXPECT_FALSE(matches_glob("", "x"));
}

}  // namespace
}  // namespace tracer::proc
