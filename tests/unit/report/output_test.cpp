// SPDX-License-Identifier: Apache-2.0
#include "report/output.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <sstream>

#include "base/unique_fd.h"

namespace tracer::report {
namespace {

namespace fs = std::filesystem;

std::string content(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    reader.reset(ends[0]);
    writer.reset(ends[1]);
  }
  UniqueFd reader;
  UniqueFd writer;
};

/// Reads to the end in small pieces, so that the writer finds the pipe full again and again.
std::string drain(int fd) {
  std::string all;
  std::array<char, 4096> buffer{};
  for (ssize_t got = 0; (got = ::read(fd, buffer.data(), buffer.size())) > 0; ::usleep(50))
    all.append(buffer.data(), static_cast<std::size_t>(got));
  return all;
}

class OutputTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "tracer-output-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    std::signal(SIGPIPE, SIG_IGN);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  fs::path folder_;
};

/// Standard output is `fd` for as long as this lives.
class StdoutInstead {
 public:
  explicit StdoutInstead(int fd) : saved_(::dup(STDOUT_FILENO)) { ::dup2(fd, STDOUT_FILENO); }
  ~StdoutInstead() { ::dup2(saved_.get(), STDOUT_FILENO); }

 private:
  UniqueFd saved_;
};

TEST_F(OutputTest, ReportsAClosedPipeAsEpipe) {
  Pipe pipe;
  pipe.reader.reset();
  const auto output = make_stdout_output();
  Result<void> written;
  {
    StdoutInstead instead(pipe.writer.get());
    written = output->write("{}\n");
  }
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().errno_value(), EPIPE);
}

TEST_F(OutputTest, WritesAllThroughANonBlockingPipeThatIsFullMostOfTheTime) {
  Pipe pipe;
  ASSERT_EQ(::fcntl(pipe.writer.get(), F_SETFL, O_NONBLOCK), 0);
  auto reading = std::async(std::launch::async, [&] { return drain(pipe.reader.get()); });
  std::string sent(1 << 20, '\0');
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>('a' + i % 26);
  Result<void> written;
  {
    StdoutInstead instead(pipe.writer.get());
    written = make_stdout_output()->write(sent);
  }
  pipe.writer.reset();
  EXPECT_TRUE(written.ok());
  EXPECT_EQ(reading.get(), sent);
}

std::atomic<int> interruptions{0};

TEST_F(OutputTest, GoesOnAfterAnInterruptingSignal) {
  Pipe pipe;
  sigset_t alarm;
  sigemptyset(&alarm);
  sigaddset(&alarm, SIGALRM);
  pthread_sigmask(SIG_BLOCK, &alarm, nullptr);  // the reader inherits it
  auto reading = std::async(std::launch::async, [&] { return drain(pipe.reader.get()); });
  struct sigaction action {};
  action.sa_handler = [](int) { ++interruptions; };  // without SA_RESTART
  struct sigaction before {};
  ::sigaction(SIGALRM, &action, &before);
  pthread_sigmask(SIG_UNBLOCK, &alarm, nullptr);
  const itimerval often{{0, 300}, {0, 300}};
  ::setitimer(ITIMER_REAL, &often, nullptr);
  const std::string sent(1 << 20, 'x');
  Result<void> written;
  {
    StdoutInstead instead(pipe.writer.get());
    written = make_stdout_output()->write(sent);
  }
  const itimerval never{};
  ::setitimer(ITIMER_REAL, &never, nullptr);
  ::sigaction(SIGALRM, &before, nullptr);
  pipe.writer.reset();
  EXPECT_TRUE(written.ok());
  EXPECT_EQ(reading.get(), sent);
  EXPECT_GT(interruptions, 0);
}

TEST_F(OutputTest, ShowsTheFileOnlyWhenItIsWhole) {
  const fs::path path = folder_ / "report.ndjson";
  std::ofstream(path) << "the report of yesterday";
  auto file = FileOutput::open(path);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->write("first\n").ok());
  ASSERT_TRUE((*file)->write("second\n").ok());
  EXPECT_EQ(content(path), "the report of yesterday");
  ASSERT_TRUE((*file)->commit().ok());
  EXPECT_EQ(content(path), "first\nsecond\n");
  file->reset();
  EXPECT_EQ(content(path), "first\nsecond\n");
  EXPECT_EQ(files(), 1U);
}

TEST_F(OutputTest, LeavesNothingBehindWithoutCommit) {
  auto file = FileOutput::open(folder_ / "report.ndjson");
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->write("half a li").ok());
  EXPECT_EQ(files(), 1U);
  file->reset();
  EXPECT_EQ(files(), 0U);
}

TEST_F(OutputTest, GivesTheFileTheModeThatTheUmaskLeaves) {
  const fs::path path = folder_ / "report.txt";
  const mode_t before = ::umask(027);
  auto file = FileOutput::open(path);
  ::umask(before);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->commit().ok());
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0640U);
}

TEST_F(OutputTest, TakesANameAsLongAsTheFileSystemAllows) {
  const fs::path path = folder_ / std::string(255, 'n');
  auto file = FileOutput::open(path);
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE((*file)->commit().ok());
  EXPECT_TRUE(fs::exists(path));
}

TEST_F(OutputTest, WritesIntoTheDirectoryItWasOpenedInAfterAChangeOfDirectory) {
  const fs::path before = fs::current_path();
  fs::current_path(folder_);
  auto file = FileOutput::open("report.txt");
  fs::current_path("/");
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE((*file)->commit().ok());
  fs::current_path(before);
  EXPECT_TRUE(fs::exists(folder_ / "report.txt"));
}

TEST_F(OutputTest, ReplacesASymbolicLinkAndNotWhatItNames) {
  std::ofstream(folder_ / "precious") << "keep me";
  fs::create_symlink(folder_ / "precious", folder_ / "report.txt");
  auto file = FileOutput::open(folder_ / "report.txt");
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->write("report").ok());
  ASSERT_TRUE((*file)->commit().ok());
  EXPECT_EQ(content(folder_ / "precious"), "keep me");
  EXPECT_EQ(content(folder_ / "report.txt"), "report");
}

TEST_F(OutputTest, RefusesADirectoryAMissingOneAndAnEmptyName) {
  for (const std::string& path : {folder_.string(), folder_.string() + "/", (folder_ / "no/such/report.txt").string(),
                                  (folder_ / "new/").string(), std::string()}) {
    const auto file = FileOutput::open(path);
    ASSERT_FALSE(file.ok()) << path;
    EXPECT_NE(file.error().message().find("'" + path + "'"), std::string::npos);
    EXPECT_FALSE(file.error().hint().empty());
  }
  EXPECT_EQ(files(), 0U);
}

TEST_F(OutputTest, RefusesADirectoryThatIsNotWritable) {
  ASSERT_EQ(::chmod(folder_.c_str(), 0555), 0);
  // Root may write anywhere, so that another user has to try; in a process of its own.
  const pid_t child = ::fork();
  if (child == 0) {
    if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) ::_exit(2);
    const auto file = FileOutput::open(folder_ / "report.txt");
    ::_exit(!file.ok() && file.error().kind() == ErrorKind::kPermission && !file.error().hint().empty() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST_F(OutputTest, OpensDevicesAndFifosAsTheyAre) {
  auto null = FileOutput::open("/dev/null");
  ASSERT_TRUE(null.ok());
  EXPECT_TRUE((*null)->write("gone").ok());
  EXPECT_TRUE((*null)->commit().ok());
  EXPECT_TRUE(fs::is_character_file("/dev/null"));

  const fs::path fifo = folder_ / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const UniqueFd reader(::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  auto file = FileOutput::open(fifo);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->write("through").ok());
  ASSERT_TRUE((*file)->commit().ok());
  file->reset();
  EXPECT_EQ(drain(reader.get()), "through");
  EXPECT_TRUE(fs::is_fifo(fifo));
}

TEST_F(OutputTest, ReportsAFullDisk) {
  auto full = FileOutput::open("/dev/full");
  ASSERT_TRUE(full.ok());
  const Result<void> written = (*full)->write("x");
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().errno_value(), ENOSPC);
}

TEST_F(OutputTest, ContinuesAnInheritedDescriptorWhereItStands) {
  const fs::path path = folder_ / "log";
  const UniqueFd log(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::write(log.get(), "before ", 7), 7);
  auto file = FileOutput::open("/dev/fd/" + std::to_string(log.get()));
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->write("after").ok());
  EXPECT_EQ(content(path), "before after");
  EXPECT_FALSE(FileOutput::open("/dev/fd/987").ok());
}

}  // namespace
}  // namespace tracer::report
