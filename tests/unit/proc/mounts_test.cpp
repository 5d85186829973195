// SPDX-License-Identifier: Apache-2.0
#include "proc/mounts.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <random>

namespace tracer::proc {
namespace {

Mount parsed(std::string_view line) {
  Result<Mount> mount = parse_mount_line(line);
  EXPECT_TRUE(mount.ok()) << line;
  return *mount;
}

// The example of proc(5).
constexpr const char* kLine = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";

TEST(MountsTest, ReadsALine) {
  const Mount mount = parsed(kLine);
  EXPECT_EQ(mount.device_major, 98U);
  EXPECT_EQ(mount.device_minor, 0U);
  EXPECT_EQ(mount.root, "/mnt1");
  EXPECT_EQ(mount.point, "/mnt2");
  EXPECT_EQ(mount.type, "ext3");
}

TEST(MountsTest, ReadsTheTypeBehindAnyNumberOfFields) {
  EXPECT_EQ(parsed("36 35 0:1 / / rw - tmpfs x rw").type, "tmpfs");
  EXPECT_EQ(parsed("36 35 0:1 / / rw shared:1 master:2 propagate_from:3 - fuse.sshfs x rw").type, "fuse.sshfs");
  EXPECT_EQ(parsed("36 35 0:1 / / rw").type, "") << "cut off";
}

TEST(MountsTest, UndoesEscapes) {
  EXPECT_EQ(parsed("36 35 0:1 / /a\\040b\\134c rw - tmpfs x rw").point, "/a b\\c");
  EXPECT_EQ(parsed("36 35 0:1 / /a\\04 rw - tmpfs x rw").point, "/a\\04") << "not an escape";
}

TEST(MountsTest, RefusesWhatIsNoSuchLine) {
  for (const char* line : {"", "36", "36 35 98 / / rw", "36 35 98:x / / rw", "36 35 98:0 / relative rw"})
    EXPECT_FALSE(parse_mount_line(line).ok()) << line;
}

TEST(MountsTest, AnyBytesAreALineOrAnError) {
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string line = kLine;
    for (int change = 0; change < 4; ++change) line[random() % line.size()] = static_cast<char>(random());
    line.resize(random() % (line.size() + 1));
    (void)parse_mount_line(line);
  }
}

TEST(MountsTest, FindsWhereAFileCanBeSeen) {
  const std::vector<Mount> mounts{{8, 1, "/", "/", "ext4"},
                                  {8, 1, "/var/lib", "/mnt/lib", "ext4"},
                                  {8, 1, "/var/li", "/other", "ext4"},
                                  {8, 2, "/", "/elsewhere", "ext4"},
                                  {8, 1, "/var/lib/a.so", "/a", "ext4"}};
  EXPECT_EQ(visible_paths(mounts, 8, 1, "/var/lib/a.so"),
            (std::vector<std::string>{"/var/lib/a.so", "/mnt/lib/a.so", "/a"}));
  EXPECT_TRUE(visible_paths(mounts, 9, 1, "/var/lib/a.so").empty());
}

TEST(MountsTest, ReadsItsOwn) {
  const Result<std::vector<Mount>> mounts = read_mounts(::getpid());
  ASSERT_TRUE(mounts.ok());
  EXPECT_TRUE(std::ranges::any_of(*mounts, [](const Mount& mount) { return mount.point == "/"; }));
  EXPECT_FALSE(read_mounts(0x7fffffff).ok());
}

}  // namespace
}  // namespace tracer::proc
