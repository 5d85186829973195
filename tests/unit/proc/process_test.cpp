// SPDX-License-Identifier: Apache-2.0
#include "proc/process.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace tracer::proc {
namespace {

namespace fs = std::filesystem;

class ProcessTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "tracer-proc-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    fs::create_directories(root_ / "42/task/42");
    fs::create_directories(root_ / "42/task/43");
  }
  void TearDown() override { fs::remove_all(root_); }
  void write(const std::string& name, const std::string& text) {
    std::ofstream(root_ / "42" / name, std::ios::binary) << text;
  }

  fs::path root_;
};

constexpr const char* kStatTail = " 1 42 42 0 -1 4194560 10 0 0 0 1 2 0 0 20 0 2 0 987654 100 200 0";

TEST_F(ProcessTest, ReadsANameWithSpacesAndParentheses) {
  write("stat", std::string("42 (a) (b) c) S") + kStatTail);
  write("status", "Name:\ta) (b) c\nTgid:\t42\n");
  write("cmdline", std::string("./a b\0--x\0", 10));
  const Result<ProcessInfo> info = read_process(42, root_.string());
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->comm, "a) (b) c");
  EXPECT_EQ(info->parent_pid, 1);
  EXPECT_EQ(info->thread_group_id, 42);
  EXPECT_EQ(info->start_ticks, 987654U);
  EXPECT_EQ(info->cmdline, (std::vector<std::string>{"./a b", "--x"}));
  EXPECT_FALSE(info->kernel_thread);
  EXPECT_FALSE(info->zombie);
}

TEST_F(ProcessTest, KnowsKernelThreadsAndZombies) {
  write("stat", "42 (kworker/0:1) I 2 0 0 0 -1 69238880 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0 0");
  const Result<ProcessInfo> worker = read_process(42, root_.string());
  ASSERT_TRUE(worker.ok()) << worker.error().message();
  EXPECT_TRUE(worker->kernel_thread);
  write("stat", std::string("42 (gone) Z") + kStatTail);
  EXPECT_TRUE(read_process(42, root_.string())->zombie);
}

TEST_F(ProcessTest, RefusesAStatFileThatIsNone) {
  write("stat", "rubbish");
  const Result<ProcessInfo> info = read_process(42, root_.string());
  ASSERT_FALSE(info.ok());
  EXPECT_EQ(info.error().kind(), ErrorKind::kCorrupt);
}

TEST_F(ProcessTest, AProcessThatIsNotThereIsNotFound) {
  EXPECT_EQ(read_process(43, root_.string()).error().kind(), ErrorKind::kNotFound);
  EXPECT_EQ(read_threads(43, root_.string()).error().kind(), ErrorKind::kNotFound);
  EXPECT_EQ(read_rss_bytes(43, root_.string()), 0U);
}

TEST_F(ProcessTest, ListsThreads) {
  std::vector<pid_t> threads = *read_threads(42, root_.string());
  std::ranges::sort(threads);
  EXPECT_EQ(threads, (std::vector<pid_t>{42, 43}));
}

TEST(LiveProcessTest, DescribesThisProcess) {
  const Result<ProcessInfo> info = read_process(::getpid());
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->parent_pid, ::getppid());
  EXPECT_EQ(info->thread_group_id, ::getpid());
  EXPECT_EQ(fs::path(info->exe), fs::read_symlink("/proc/self/exe"));
  EXPECT_GT(read_rss_bytes(::getpid()), 1'000'000U);
}

TEST(LiveProcessTest, KnowsAZombieThatIsItsOwnChild) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  siginfo_t ended{};
  ::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT);
  EXPECT_TRUE(read_process(child)->zombie);
  ::waitpid(child, nullptr, 0);
}

}  // namespace
}  // namespace tracer::proc
