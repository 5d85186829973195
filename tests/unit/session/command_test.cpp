// SPDX-License-Identifier: Apache-2.0
#include "session/command.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace tracer::session {
namespace {

int wait_for(Command& command) {
  int status = 0;
  while (!command.try_wait(&status)) ::usleep(1000);
  return exit_status_of(status);
}

int run(const std::vector<std::string>& arguments) {
  Result<Command> command = Command::start(arguments);
  EXPECT_TRUE(command.ok());
  EXPECT_TRUE(command->release().ok());
  return wait_for(*command);
}

TEST(CommandTest, PassesTheExitStatusOn) { EXPECT_EQ(run({"sh", "-c", "exit 7"}), 7); }

TEST(CommandTest, ASignalDeathIs128PlusTheSignal) { EXPECT_EQ(run({"sh", "-c", "kill -TERM $$"}), 128 + SIGTERM); }

TEST(CommandTest, PassesArgumentsThroughUnchanged) {
  EXPECT_EQ(run({"sh", "-c", "[ \"$1\" = 'a b' ]", "sh", "a b"}), 0);
}

TEST(CommandTest, AMissingProgramIsNotFound) {
  Result<Command> command = Command::start({"/no/such/program"});
  ASSERT_TRUE(command.ok());
  const Result<void> released = command->release();
  ASSERT_FALSE(released.ok());
  EXPECT_EQ(released.error().kind(), ErrorKind::kNotFound);
  EXPECT_FALSE(released.error().hint().empty());
}

TEST(CommandTest, ADirectoryIsNotExecutable) {
  Result<Command> command = Command::start({"/etc"});
  ASSERT_TRUE(command.ok());
  const Result<void> released = command->release();
  ASSERT_FALSE(released.ok());
  EXPECT_EQ(released.error().kind(), ErrorKind::kPermission);
}

TEST(CommandTest, AChildThatIsNeverReleasedIsKilled) {
  pid_t pid = -1;
  {
    Result<Command> command = Command::start({"sleep", "1000"});
    ASSERT_TRUE(command.ok());
    pid = command->pid();
    EXPECT_EQ(::kill(pid, 0), 0);
  }
  EXPECT_EQ(::kill(pid, 0), -1);
}

}  // namespace
}  // namespace tracer::session
