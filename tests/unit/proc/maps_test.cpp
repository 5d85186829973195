// SPDX-License-Identifier: Apache-2.0
#include "proc/maps.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

namespace tracer::proc {
namespace {

TEST(MapsTest, ReadsEveryFieldOfALine) {
  const Result<Mapping> mapping = parse_maps_line(
      "7f1c2a026000-7f1c2a17c000 r-xp 00026000 fe:01 1835146                    /usr/lib/x86_64-linux-gnu/libc.so.6");
  ASSERT_TRUE(mapping.ok());
  EXPECT_EQ(mapping->start, 0x7f1c2a026000U);
  EXPECT_EQ(mapping->end, 0x7f1c2a17c000U);
  EXPECT_EQ(mapping->file_offset, 0x26000U);
  EXPECT_EQ(mapping->device_major, 0xfeU);
  EXPECT_EQ(mapping->device_minor, 1U);
  EXPECT_EQ(mapping->inode, 1835146U);
  EXPECT_TRUE(mapping->readable && mapping->executable && !mapping->writable && !mapping->deleted);
  EXPECT_EQ(mapping->path, "/usr/lib/x86_64-linux-gnu/libc.so.6");
}

TEST(MapsTest, ALineMayHaveNoPath) {
  const Result<Mapping> mapping = parse_maps_line("7ffd000-7ffe000 rw-p 00000000 00:00 0 ");
  ASSERT_TRUE(mapping.ok());
  EXPECT_TRUE(mapping->path.empty());
  EXPECT_FALSE(mapping->is_file());
}

TEST(MapsTest, ADeletedFileIsMarkedAndKeepsItsName) {
  const Result<Mapping> mapping = parse_maps_line("1000-2000 r-xp 00000000 08:01 77   /tmp/a (deleted) b.so (deleted)");
  ASSERT_TRUE(mapping.ok());
  EXPECT_TRUE(mapping->deleted);
  EXPECT_EQ(mapping->path, "/tmp/a (deleted) b.so");
}

TEST(MapsTest, UndoesTheEscapesOfThePath) {
  EXPECT_EQ(parse_maps_line("1000-2000 r-xp 00000000 08:01 77   /tmp/a\\012b")->path, "/tmp/a\nb");
  EXPECT_EQ(parse_maps_line("1000-2000 r-xp 00000000 08:01 77   /tmp/with space")->path, "/tmp/with space");
  EXPECT_EQ(parse_maps_line("1000-2000 r-xp 00000000 08:01 77   /tmp/a\\01")->path, "/tmp/a\\01");
}

TEST(MapsTest, RefusesWhatIsNoLine) {
  for (const char* line :
       {"", "x", "1000", "1000-", "1000-2000", "2000-1000 r-xp 00000000 08:01 7 /a", "1000-2000 r-x",
        "1000-2000 r-xp zz 08:01 7", "1000-2000 r-xp 00000000 0801 7", "1000-2000 r-xp 00000000 08:01 seven",
        "1000-2000 r-xp 00000000 08:01 7x", "99999999999999999-2 r-xp 0 0:0 0"})
    EXPECT_FALSE(parse_maps_line(line).ok()) << line;
}

TEST(MapsTest, AnyTextIsReadOrRefused) {
  std::mt19937 random(3);
  const std::string good = "1000-2000 r-xp 00000000 08:01 77   /tmp/a\\012b (deleted)";
  for (int i = 0; i < 50'000; ++i) {
    std::string line = good;
    for (int flips = 0; flips < 3; ++flips) line[random() % line.size()] = static_cast<char>(random());
    line.resize(random() % (line.size() + 1));
    const Result<Mapping> mapping = parse_maps_line(line);
    if (mapping) {
      EXPECT_LT(mapping->start, mapping->end);
    }
  }
}

TEST(MapsTest, ReadsAWholeTextAndNamesTheLineThatIsNone) {
  EXPECT_EQ(parse_maps("1000-2000 r-xp 0 08:01 7 /a\n2000-3000 r--p 0 08:01 7 /a\n")->size(), 2U);
  EXPECT_TRUE(parse_maps("")->empty());
  const Result<std::vector<Mapping>> bad = parse_maps("1000-2000 r-xp 0 08:01 7 /a\nrubbish\n");
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().kind(), ErrorKind::kCorrupt);
  EXPECT_NE(bad.error().message().find("rubbish"), std::string::npos);
}

TEST(MapsTest, LeavesABackslashThatIsPartOfThePathAlone) {
  // The kernel escapes newlines only: a directory may really be called "\040".
  EXPECT_EQ(parse_maps_line("1000-2000 r-xp 00000000 08:01 77   /tmp/a\\040b")->path, "/tmp/a\\040b");
  EXPECT_EQ(parse_maps_line("1000-2000 r-xp 00000000 08:01 77   /\\012\\012")->path, "/\n\n");
  EXPECT_EQ(parse_maps_line("1000-2000 r-xp 00000000 08:01 77   /tmp/a\\-12")->path, "/tmp/a\\-12");
}

TEST(MapsTest, ReadsTheAccessRights) {
  const Result<Mapping> all = parse_maps_line("1000-2000 rwxs 00000000 00:00 0");
  ASSERT_TRUE(all.ok());
  EXPECT_TRUE(all->readable && all->writable && all->executable);
  const Result<Mapping> none = parse_maps_line("1000-2000 ---p 00000000 00:00 0");
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(none->readable || none->writable || none->executable);
  for (const char* rights : {"rwx-", "wrxp", "r-xx", "R-xp", "r-xpp", "r xp", "\0-xp"})
    EXPECT_FALSE(parse_maps_line(std::string("1000-2000 ") + rights + " 00000000 00:00 0").ok()) << rights;
}

TEST(MapsTest, ReadsTheRangesThatAreNoFile) {
  for (const char* name : {"[heap]", "[stack]", "[vdso]", "[vvar]", "[anon:libc malloc]"}) {
    const Result<Mapping> mapping = parse_maps_line(std::string("1000-2000 rw-p 00000000 00:00 0    ") + name);
    ASSERT_TRUE(mapping.ok());
    EXPECT_EQ(mapping->path, name);
    EXPECT_FALSE(mapping->is_file());
  }
  const Result<Mapping> last = parse_maps_line("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0   [vsyscall]");
  ASSERT_TRUE(last.ok());
  EXPECT_EQ(last->end, 0xffffffffff601000U);
}

TEST(MapsTest, ADeletedSegmentOfSharedMemoryMayHaveNoInode) {
  const Result<Mapping> mapping = parse_maps_line("1000-2000 rw-s 00000000 00:01 0   /SYSV00000000 (deleted)");
  ASSERT_TRUE(mapping.ok());
  EXPECT_TRUE(mapping->deleted);
  EXPECT_EQ(mapping->path, "/SYSV00000000");
}

TEST(MapsTest, FindsThisTestInItsOwnMappings) {
  const Result<std::vector<Mapping>> mappings = read_maps(::getpid());
  ASSERT_TRUE(mappings.ok());
  const auto address = reinterpret_cast<std::uint64_t>(&parse_maps_line);
  const auto found =
      std::ranges::find_if(*mappings, [&](const Mapping& m) { return m.start <= address && address < m.end; });
  ASSERT_NE(found, mappings->end());
  EXPECT_TRUE(found->executable);
  EXPECT_TRUE(found->is_file());
}

TEST(MapsTest, AProcessThatIsNotThereIsGone) {
  const Result<std::vector<Mapping>> mappings = read_maps(4194000);
  ASSERT_FALSE(mappings.ok());
  EXPECT_EQ(mappings.error().kind(), ErrorKind::kGone);
}

TEST(MapsTest, AMappingThatIsNotThereIsGone) {
  Mapping nowhere;
  nowhere.start = 0x1000;
  nowhere.end = 0x2000;
  const Result<UniqueFd> file = open_mapped_file(::getpid(), nowhere);
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().kind(), ErrorKind::kGone);
}

/// A tree that looks like /proc with process 42 in it.
class MapsTreeTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "tracer-maps-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    std::filesystem::create_directories(root_ / "42/map_files");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void write(const std::string& name, const std::string& text) { std::ofstream(root_ / "42" / name) << text; }

  std::filesystem::path root_;
};

TEST_F(MapsTreeTest, ReadsListsOfAnyLength) {
  constexpr std::uint64_t kLines = 20'000;
  std::string text;
  for (std::uint64_t i = 1; i <= kLines; ++i) {
    char line[80];
    std::snprintf(line, sizeof(line), "%lx000-%lx800 r--p 00000000 08:01 %lu   /lib/a b.so\n", i, i, i);
    text += line;
  }
  ASSERT_GT(text.size(), 1'000'000U);
  write("maps", text);
  const Result<std::vector<Mapping>> mappings = read_maps(42, root_.string());
  ASSERT_TRUE(mappings.ok());
  ASSERT_EQ(mappings->size(), kLines);
  EXPECT_EQ(mappings->back().inode, kLines);
  EXPECT_EQ(mappings->back().path, "/lib/a b.so");
}

TEST_F(MapsTreeTest, AProcessWithoutAnAddressSpaceHasNoMappings) {
  write("maps", "");
  const Result<std::vector<Mapping>> mappings = read_maps(42, root_.string());
  ASSERT_TRUE(mappings.ok());
  EXPECT_TRUE(mappings->empty());
}

TEST_F(MapsTreeTest, AProcessWhoseFirstThreadHasEndedIsSeenThroughAnother) {
  for (const char* folder : {"42/task/42", "42/task/43", "43/map_files"})
    std::filesystem::create_directories(root_ / folder);
  write("maps", "");
  write("stat", "42 (gone) Z 1 42 42 0 -1 4194560 10 0 0 0 1 2 0 0 20 0 2 0 987654 100 200 0");
  std::ofstream(root_ / "43/stat") << "43 (goes on) S 1 42 42 0 -1 4194560 10 0 0 0 1 2 0 0 20 0 2 0 987654 100 200 0";
  std::ofstream(root_ / "43/maps") << "7fab00-ab1000 r-xp 00000000 08:01 7   /lib/a.so\n";
  std::ofstream(root_ / "43/map_files/7fab00-ab1000") << "the library";
  const Result<std::vector<Mapping>> mappings = read_maps(42, root_.string());
  ASSERT_TRUE(mappings.ok());
  ASSERT_EQ(mappings->size(), 1U);
  EXPECT_TRUE(open_mapped_file(42, mappings->front(), root_.string()).ok());
  const Result<FileStamp> stamp = stamp_mapped_file(42, mappings->front(), root_.string());
  ASSERT_TRUE(stamp.ok());
  EXPECT_EQ(stamp->size_bytes, 11U);
  Mapping nowhere = mappings->front();
  nowhere.end += 0x1000;
  EXPECT_EQ(open_mapped_file(42, nowhere, root_.string()).error().kind(), ErrorKind::kGone);
}

TEST_F(MapsTreeTest, OpensAMappedFileByItsRangeInShortHexadecimal) {
  write("map_files/7fab00-ab1000", "the library");
  Mapping mapping;
  mapping.start = 0x7fab00;
  mapping.end = 0xab1000;
  const Result<UniqueFd> file = open_mapped_file(42, mapping, root_.string());
  ASSERT_TRUE(file.ok());
  char text[12] = {};
  EXPECT_EQ(::read(file->get(), text, sizeof(text)), 11);
  EXPECT_STREQ(text, "the library");
  EXPECT_LT(::write(file->get(), "x", 1), 0) << "it is open for reading only";
}

}  // namespace
}  // namespace tracer::proc
