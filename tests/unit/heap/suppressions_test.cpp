// SPDX-License-Identifier: Apache-2.0
#include "heap/suppressions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tracer::heap {
namespace {

using ::testing::HasSubstr;

bool fits(const std::string& pattern, const std::string& text) {
  Suppressions suppressions;
  EXPECT_TRUE(suppressions.add("leak:" + pattern + "\n", "file").ok()) << pattern;
  return suppressions.matches(text);
}

TEST(SuppressionsTest, FindsAPatternAnywhere) {
  EXPECT_TRUE(fits("foo", "foo"));
  EXPECT_TRUE(fits("foo", "/usr/lib/libfoo.so.1"));
  EXPECT_FALSE(fits("foo", "fo"));
  EXPECT_FALSE(fits("foo", "FOO"));
  EXPECT_FALSE(fits("foo", ""));
  EXPECT_TRUE(fits("a.b[c", "xa.b[cx")) << "nothing but * ^ $ is special";
}

TEST(SuppressionsTest, KnowsBothEnds) {
  EXPECT_TRUE(fits("^foo", "foobar"));
  EXPECT_FALSE(fits("^foo", "barfoo"));
  EXPECT_TRUE(fits("foo$", "barfoo"));
  EXPECT_FALSE(fits("foo$", "foobar"));
  EXPECT_TRUE(fits("foo$", "foofoo"));
  EXPECT_TRUE(fits("^foo$", "foo"));
  EXPECT_FALSE(fits("^foo$", "foofoo"));
}

TEST(SuppressionsTest, LetsAStarStandForAnything) {
  EXPECT_TRUE(fits("a*c", "abbbc"));
  EXPECT_TRUE(fits("a*c", "ac"));
  EXPECT_FALSE(fits("a*c", "ca"));
  EXPECT_TRUE(fits("^a*b*c$", "a-b-b-c"));
  EXPECT_FALSE(fits("^a*b*c$", "a-b-b-c-"));
  EXPECT_FALSE(fits("^ab*bc$", "abc")) << "no character counts for two parts";
  EXPECT_TRUE(fits("^*foo", "xfoo"));
  EXPECT_TRUE(fits("foo*$", "foox"));
}

TEST(SuppressionsTest, ReadsCommentsBlanksAndWindowsLines) {
  Suppressions suppressions;
  ASSERT_TRUE(suppressions.add("# leak:comment\n\n  leak:one \r\nleak:two", "file").ok());
  EXPECT_TRUE(suppressions.matches("one"));
  EXPECT_TRUE(suppressions.matches("two"));
  EXPECT_FALSE(suppressions.matches("comment"));
  EXPECT_FALSE(Suppressions().matches("anything"));
}

TEST(SuppressionsTest, SaysWhichLineIsNone) {
  for (const char* bad : {"leak", "leak:", "leak:*", "leak:^$", "race:foo", "foo"}) {
    Suppressions suppressions;
    const Result<void> added = suppressions.add(std::string("leak:good\n") + bad + "\n", "my.supp");
    ASSERT_FALSE(added.ok()) << bad;
    EXPECT_EQ(added.error().kind(), ErrorKind::kCorrupt);
    EXPECT_THAT(added.error().message(), HasSubstr("my.supp:2: "));
    EXPECT_FALSE(added.error().hint().empty());
  }
}

}  // namespace
}  // namespace tracer::heap
