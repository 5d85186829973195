// SPDX-License-Identifier: Apache-2.0
#include "proc/process.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <time.h>
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

TEST_F(ProcessTest, ProcessorTimeIsThatOfTheProgramAndOfTheKernelForIt) {
  write("stat", std::string("42 (a) 1 2 3) S") + kStatTail);
  const std::uint64_t tick_ns = 1'000'000'000U / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  EXPECT_EQ(read_cpu_ns(42, root_.string()), (1 + 2) * tick_ns);
  write("stat", "42 (a");
  EXPECT_EQ(read_cpu_ns(42, root_.string()), 0U);
  write("stat", "42 (a) S 1 2");
  EXPECT_EQ(read_cpu_ns(42, root_.string()), 0U);
  EXPECT_EQ(read_cpu_ns(41, root_.string()), 0U) << "there is none";
}

TEST_F(ProcessTest, SaysWhenItStartedWhoseItIsAndWhatItsOwnNamespaceCallsIt) {
  write("stat", std::string("42 (a) S") + kStatTail);
  write("status", "Name:\ta\nTgid:\t42\nUid:\t1000\t0\t0\t0\nNSpid:\t42\t17\t1\nNSsid:\t9\n");
  const Result<ProcessInfo> inner = read_process(42, root_.string());
  ASSERT_TRUE(inner.ok());
  EXPECT_EQ(inner->start_ns, 987'654U * (1'000'000'000U / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK))));
  EXPECT_EQ(inner->uid, 1000U);
  EXPECT_EQ(inner->ns_pid, 1);
  write("status", "Name:\ta\nTgid:\t42\nUid:\t0\t0\t0\t0\nNSpid:\t42\n");
  EXPECT_EQ(read_process(42, root_.string())->ns_pid, 0) << "it is in our namespace";
  EXPECT_EQ(read_process(42, root_.string())->uid, 0U);
  write("status", "Name:\ta\nTgid:\t42\n");
  EXPECT_FALSE(read_process(42, root_.string())->uid.has_value());
  write("status", "Name:\ta\nTgid:\t42\nNSpid:\t42\tx\n");
  EXPECT_EQ(read_process(42, root_.string()).error().kind(), ErrorKind::kCorrupt);
}

TEST_F(ProcessTest, KnowsKernelThreadsAndZombies) {
  write("status", "Name:\tkworker/0:1\nTgid:\t42\n");
  write("stat", "42 (kworker/0:1) I 2 0 0 0 -1 69238880 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0 0");
  const Result<ProcessInfo> worker = read_process(42, root_.string());
  ASSERT_TRUE(worker.ok()) << worker.error().message();
  EXPECT_TRUE(worker->kernel_thread);
  write("stat", std::string("42 (gone) Z") + kStatTail);
  EXPECT_TRUE(read_process(42, root_.string())->zombie);
  write("stat", std::string("42 (dead) X") + kStatTail);
  EXPECT_TRUE(read_process(42, root_.string())->zombie);
}

TEST_F(ProcessTest, AProcessWhoseFirstThreadHasEndedIsNoZombie) {
  fs::create_directories(root_ / "43");
  write("status", "Name:\tgone\nTgid:\t42\n");
  write("stat", std::string("42 (gone) Z") + kStatTail);
  write("cmdline", "");
  write("statm", "0 0 0 0 0 0 0\n");
  std::ofstream(root_ / "43/stat") << "43 (goes on) S" << kStatTail;
  std::ofstream(root_ / "43/statm") << "9 3 1 1 0 1 0\n";
  std::ofstream(root_ / "43/cmdline") << "program";
  fs::create_symlink("/usr/bin/program", root_ / "43/exe");
  const Result<ProcessInfo> info = read_process(42, root_.string());
  ASSERT_TRUE(info.ok());
  EXPECT_FALSE(info->zombie);
  EXPECT_EQ(info->comm, "gone");
  EXPECT_EQ(info->exe, "/usr/bin/program");
  EXPECT_EQ(info->cmdline, std::vector<std::string>{"program"});
  EXPECT_EQ(thread_with_memory(42, root_.string()), 43);
  EXPECT_EQ(read_rss_bytes(42, root_.string()), 3U * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
}

TEST_F(ProcessTest, RefusesAStatFileThatIsNone) {
  write("stat", "rubbish");
  const Result<ProcessInfo> info = read_process(42, root_.string());
  ASSERT_FALSE(info.ok());
  EXPECT_EQ(info.error().kind(), ErrorKind::kCorrupt);
}

TEST_F(ProcessTest, RefusesAStatFileThatIsCutOffOrHasOtherFields) {
  write("status", "Name:\ta\nTgid:\t42\n");
  const std::string whole = std::string("42 (a) S") + kStatTail;
  write("stat", whole);
  ASSERT_TRUE(read_process(42, root_.string()).ok());
  for (const std::string& text :
       {std::string(), std::string("42 (a)"), std::string("42 (a) S 1"), whole.substr(0, whole.find("987654")),
        std::string(") 42 ("), std::string("42 (a) S one 42 42 0 -1 0 10 0 0 0 1 2 0 0 20 0 2 0 987654"),
        std::string("42 (a) S 1 42 42 0 -1 0x1 10 0 0 0 1 2 0 0 20 0 2 0 987654"),
        std::string("42 (a) S 1 42 42 0 -1 1 10 0 0 0 1 2 0 0 20 0 2 0 -7")}) {
    write("stat", text);
    const Result<ProcessInfo> info = read_process(42, root_.string());
    ASSERT_FALSE(info.ok()) << text;
    EXPECT_EQ(info.error().kind(), ErrorKind::kCorrupt) << text;
  }
}

TEST_F(ProcessTest, IsNotFooledByANameThatLooksLikeAField) {
  write("stat", std::string("42 (Tgid:\t7\nx) S 9) S") + kStatTail);
  write("status", "Name:\tTgid:\t7\\nx) S 9\nUmask:\t0022\nTgid:\t41\nNgid:\t0\n");
  const Result<ProcessInfo> info = read_process(42, root_.string());
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->comm, "Tgid:\t7\nx) S 9");
  EXPECT_EQ(info->parent_pid, 1);
  EXPECT_EQ(info->thread_group_id, 41);
}

TEST_F(ProcessTest, KeepsEmptyArgumentsAndAnUnfinishedLast) {
  write("stat", std::string("42 (a) S") + kStatTail);
  write("status", "Name:\ta\nTgid:\t42\n");
  using Words = std::vector<std::string>;
  write("cmdline", std::string("a\0\0b\0", 5));
  EXPECT_EQ(read_process(42, root_.string())->cmdline, (Words{"a", "", "b"}));
  write("cmdline", "postgres: writer");
  EXPECT_EQ(read_process(42, root_.string())->cmdline, (Words{"postgres: writer"}));
  write("cmdline", "");
  EXPECT_EQ(read_process(42, root_.string())->cmdline, Words{});
}

TEST_F(ProcessTest, ReadsTheExecutablesPath) {
  write("stat", std::string("42 (a) S") + kStatTail);
  write("status", "Name:\ta\nTgid:\t42\n");
  fs::create_symlink("/usr/bin/a b (deleted)", root_ / "42/exe");
  EXPECT_EQ(read_process(42, root_.string())->exe, "/usr/bin/a b (deleted)");
}

TEST_F(ProcessTest, ReadsTheResidentMemoryInBytes) {
  write("statm", "1000 25 10 1 0 90 0\n");
  EXPECT_EQ(read_rss_bytes(42, root_.string()), 25U * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
  write("statm", "rubbish");
  EXPECT_EQ(read_rss_bytes(42, root_.string()), 0U);
}

TEST_F(ProcessTest, AProcessThatIsNotThereIsNotFound) {
  EXPECT_EQ(read_process(43, root_.string()).error().kind(), ErrorKind::kNotFound);
  EXPECT_EQ(read_threads(43, root_.string()).error().kind(), ErrorKind::kNotFound);
  EXPECT_EQ(read_rss_bytes(43, root_.string()), 0U);
}

TEST_F(ProcessTest, ListsThreadsInOrder) {
  fs::create_directories(root_ / "42/task/7");
  fs::create_directories(root_ / "42/task/9x");
  const std::vector<pid_t> threads = *read_threads(42, root_.string());
  EXPECT_EQ(threads, (std::vector<pid_t>{7, 42, 43}));
}

TEST(LiveProcessTest, DescribesThisProcess) {
  const Result<ProcessInfo> info = read_process(::getpid());
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->parent_pid, ::getppid());
  EXPECT_EQ(info->thread_group_id, ::getpid());
  EXPECT_EQ(fs::path(info->exe), fs::read_symlink("/proc/self/exe"));
  EXPECT_GT(read_rss_bytes(::getpid()), 1'000'000U);
  EXPECT_EQ(info->uid, ::getuid());
  timespec boot{};
  ASSERT_EQ(::clock_gettime(CLOCK_BOOTTIME, &boot), 0);
  const auto now_ns =
      static_cast<std::uint64_t>(boot.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(boot.tv_nsec);
  EXPECT_GT(info->start_ns, 0U);
  EXPECT_LE(info->start_ns, now_ns);
  EXPECT_GT(*read_pid_namespace(::getpid()), 0xEFFFFFF0U);
  EXPECT_EQ(read_pid_namespace(0x7fffffff).error().kind(), ErrorKind::kNotFound);
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
