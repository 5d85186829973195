// SPDX-License-Identifier: Apache-2.0
#include "symbols/perf_map.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>
#include <random>
#include <string>

#include "program.h"
#include "symbols/perf_map_file.h"

namespace tracer::symbols {
namespace {

std::string name_in(const std::string& text, std::uint64_t address) {
  PerfMap map;
  map.add(text);
  return std::string(map.name_at(address));
}

TEST(PerfMapTest, ReadsWhatNodeAndJavaWrite) {
  const std::string node = "3ef414c0 398 LazyCompile:*serve /app/server.js:12\n";
  EXPECT_EQ(name_in(node, 0x3ef414c0), "LazyCompile:*serve /app/server.js:12");
  EXPECT_EQ(name_in(node, 0x3ef414c0 + 0x397), "LazyCompile:*serve /app/server.js:12");
  EXPECT_EQ(name_in(node, 0x3ef414c0 + 0x398), "");
  EXPECT_EQ(name_in(node, 0x3ef414bf), "");
  const std::string java = "0x00007f0c3c9b8a00 0x0000000000000340 java.lang.String::hashCode()\r\n";
  EXPECT_EQ(name_in(java, 0x7f0c3c9b8a10), "java.lang.String::hashCode()");
}

TEST(PerfMapTest, TakesTheNewestCodeOfAnAddress) {
  const std::string text = "100 100 old\n180 100 new\n300 20 inner\n2f0 40 outer\n";
  EXPECT_EQ(name_in(text, 0x17f), "old");
  EXPECT_EQ(name_in(text, 0x180), "new");
  EXPECT_EQ(name_in(text, 0x1ff), "new");
  EXPECT_EQ(name_in(text, 0x310), "outer");
  // In the middle of an older one: what is left of that behind is no code any more.
  EXPECT_EQ(name_in("100 100 old\n140 10 new\n", 0x13f), "old");
  EXPECT_EQ(name_in("100 100 old\n140 10 new\n", 0x150), "");
}

TEST(PerfMapTest, LeavesOutBrokenLinesAndCountsThem) {
  PerfMap map;
  map.add(
      "\nno map\n10\n10 20\n10 20 \n10 0 nothing\nffffffffffffffff 10 wraps\n10 xyz name\n-1 5 f\n100 10 good one\n");
  EXPECT_EQ(map.size(), 1U);
  EXPECT_EQ(map.broken_lines(), 8U);
  EXPECT_EQ(map.name_at(0x100), "good one");
}

TEST(PerfMapTest, WaitsForTheEndOfALineAndCutsLongNames) {
  PerfMap map;
  map.add("100 10 fir");
  EXPECT_EQ(map.name_at(0x100), "");
  map.add("st\n200 10 " + std::string(5000, 'x') + "\n300 10 ");
  EXPECT_EQ(map.name_at(0x100), "first");
  EXPECT_EQ(map.name_at(0x200).size(), PerfMap::kLongestName);
  map.add(std::string(100'000, 'y'));
  map.add("still the same line\n400 10 next\n");
  EXPECT_EQ(map.name_at(0x300), "");
  EXPECT_EQ(map.name_at(0x400), "next");
}

/// This process, as a runtime that has written its map.
class PerfMapFileTest : public ::testing::Test {
 protected:
  void SetUp() override { write_file(path_, "100 10 first\n"); }
  void TearDown() override { ::unlink(path_.c_str()); }
  static CodeOwner self() { return {::getpid(), 0, ::geteuid(), 0}; }
  static std::string name_at(PerfMapFile& file, std::uint64_t address) { return std::string(file.name_at(address)); }

  const std::string path_ = "/tmp/perf-" + std::to_string(::getpid()) + ".map";
};

TEST_F(PerfMapFileTest, ReadsOnAsTheFileGrowsAndAnewWhenItIsReplaced) {
  PerfMapFile file(self());
  EXPECT_EQ(file.path(), path_);
  EXPECT_EQ(name_at(file, 0x100), "first");
  EXPECT_EQ(file.lack(), "");
  write_file(path_, "100 10 first\n200 10 second\n");
  ::usleep(250'000);
  EXPECT_EQ(name_at(file, 0x200), "second");
  ::unlink(path_.c_str());
  write_file(path_, "300 10 third\n");
  ::usleep(250'000);
  EXPECT_EQ(name_at(file, 0x300), "third");
  EXPECT_EQ(name_at(file, 0x100), "");
}

TEST_F(PerfMapFileTest, BelievesNobodyElse) {
  CodeOwner owner = self();
  ASSERT_EQ(::chown(path_.c_str(), 1234, 1234), ::geteuid() == 0 ? 0 : -1);
  if (::geteuid() == 0) {
    PerfMapFile file(owner);
    EXPECT_EQ(name_at(file, 0x100), "");
    EXPECT_NE(file.lack().find("belongs to another user"), std::string::npos) << file.lack();
  }
}

TEST_F(PerfMapFileTest, TakesNoMapOfAnEarlierProcess) {
  CodeOwner owner = self();
  owner.started_unix_us = static_cast<std::uint64_t>(std::time(nullptr) + 100) * 1'000'000U;
  PerfMapFile file(owner);
  EXPECT_EQ(name_at(file, 0x100), "");
  EXPECT_NE(file.lack().find("earlier process"), std::string::npos) << file.lack();
}

TEST_F(PerfMapFileTest, FollowsNoLinkAndWaitsForNoPipe) {
  ::unlink(path_.c_str());
  TempDirectory directory;
  write_file(directory / "map", "100 10 first\n");
  ASSERT_EQ(::symlink((directory / "map").c_str(), path_.c_str()), 0);
  PerfMapFile link(self());
  EXPECT_EQ(name_at(link, 0x100), "");
  ::unlink(path_.c_str());
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  PerfMapFile pipe(self());
  EXPECT_EQ(name_at(pipe, 0x100), "");
  EXPECT_NE(pipe.lack().find("no regular file"), std::string::npos) << pipe.lack();
  ::unlink(path_.c_str());
  PerfMapFile none(self());
  EXPECT_EQ(name_at(none, 0x100), "");
  EXPECT_NE(none.lack(), "");
}

}  // namespace
}  // namespace tracer::symbols
