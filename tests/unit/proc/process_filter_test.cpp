// SPDX-License-Identifier: Apache-2.0
#include "proc/process_filter.h"

#include <gtest/gtest.h>

namespace tracer::proc {
namespace {

TEST(ProcessFilterTest, LeavesAGlobThatFitsAsItIs) {
  for (const char* text : {"", "*", "?", "nginx", "ng*x?", "[a-z]*", "fifteen-letters"})
    EXPECT_EQ(comm_glob(text), text);
}

TEST(ProcessFilterTest, CutsAGlobAsTheKernelCutsNames) {
  EXPECT_EQ(comm_glob("sixteen-letters!"), "sixteen-letters");
  EXPECT_EQ(comm_glob("chromium-browser-*"), "chromium-browse");
  EXPECT_EQ(comm_glob("???????????????\?"), "???????????????");
  EXPECT_EQ(comm_glob("sixteen-letters*!"), "sixteen-letters*");
}

TEST(ProcessFilterTest, LeavesNoRowOfStars) {
  EXPECT_EQ(comm_glob("a**b***"), "a*b*");
  std::string longest;
  for (int i = 0; i < 100; ++i) longest += "**?";
  EXPECT_EQ(comm_glob(longest + "*").size(), kLongestCommGlob);
}

TEST(ProcessFilterTest, IsEmptyOnlyWithoutAnyKind) {
  EXPECT_TRUE(ProcessFilter().empty());
  ProcessFilter one;
  one.pidns.emplace();
  EXPECT_FALSE(one.empty());
  ProcessFilter other;
  other.excluded_pids = {1};
  EXPECT_FALSE(other.empty());
}

}  // namespace
}  // namespace tracer::proc
