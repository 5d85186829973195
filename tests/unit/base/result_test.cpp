// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "base/unique_fd.h"

namespace tracer {
namespace {

TEST(ResultTest, HoldsAValueOrAnError) {
  Result<std::unique_ptr<int>> value(std::make_unique<int>(7));
  ASSERT_TRUE(value.ok());
  EXPECT_EQ(**value, 7);
  const Result<int> error(Error(ErrorKind::kUsage, "no", "yes"));
  EXPECT_FALSE(error.ok());
  EXPECT_EQ(error.error().hint(), "yes");
}

TEST(ResultTest, ContextGoesInFront) {
  const Error error =
      Error(ErrorKind::kIo, "disk full").in_context("report.txt").in_context("cannot write").with_hint("make room");
  EXPECT_EQ(error.message(), "cannot write: report.txt: disk full");
  EXPECT_EQ(error.hint(), "make room");
}

TEST(ResultTest, TheKindFollowsFromErrno) {
  EXPECT_EQ(Error::from_errno(ENOENT, "x").kind(), ErrorKind::kNotFound);
  EXPECT_EQ(Error::from_errno(EACCES, "x").kind(), ErrorKind::kPermission);
  EXPECT_EQ(Error::from_errno(ESRCH, "x").kind(), ErrorKind::kGone);
  EXPECT_EQ(Error::from_errno(EIO, "x").errno_value(), EIO);
}

TEST(ResultDeathTest, TheValueOfAnErrorIsAMistakeOfOurs) {
  EXPECT_DEATH(
      {
        Result<int> result(Error(ErrorKind::kIo, "x"));
        (void)result.value();
      },
      "internal error");
}

int open_null() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }
bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(UniqueFdTest, ClosesWhatItOwnsOnce) {
  const int raw = open_null();
  { const UniqueFd fd(raw); }
  EXPECT_FALSE(is_open(raw));
}

TEST(UniqueFdTest, MoveAssignmentClosesTheOldAndTakesTheNew) {
  const int first = open_null();
  const int second = open_null();
  UniqueFd a(first);
  UniqueFd b(second);
  a = std::move(b);
  EXPECT_FALSE(is_open(first));
  EXPECT_TRUE(is_open(second));
  EXPECT_EQ(a.get(), second);
  EXPECT_FALSE(b.valid());  // NOLINT: the state after a move is defined
  UniqueFd& same = a;
  a = std::move(same);
  EXPECT_TRUE(is_open(second));
}

TEST(UniqueFdTest, ReleaseGivesOwnershipUp) {
  UniqueFd fd(open_null());
  const int raw = fd.release();
  fd.reset();
  EXPECT_TRUE(is_open(raw));
  ::close(raw);
}

}  // namespace
}  // namespace tracer
