// SPDX-License-Identifier: Apache-2.0
#include "proc/cgroup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace tracer::proc {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string kId = "3f2a9c1b2d4e5f60718293a4b5c6d7e8f90123456789abcdef0123456789abcd";
const std::string kTwin = "3f2a9c1b2d4e000000000000000000000000000000000000000000000000000a";

std::uint64_t inode(const fs::path& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return status.st_ino;
}

/// A tree of directories that stands for the hierarchy.
class CgroupTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "tracer-cgroup-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    for (const std::string& path :
         {std::string("init.scope"), "system.slice/docker-" + kId + ".scope/init", "docker/" + kTwin,
          std::string("lxc/web/system.slice"), std::string("a b:c"), std::string("lxc.monitor.web")})
      fs::create_directories(root_ / path);
    std::ofstream(root_ / "cgroup.procs") << "1\n";
  }
  void TearDown() override { fs::remove_all(root_); }
  CgroupTree tree() const { return CgroupTree(root_.string()); }
  std::vector<std::string> containers(const std::string& text) const {
    std::vector<std::string> paths;
    const Result<std::vector<Cgroup>> found = tree().find_container(text);
    EXPECT_TRUE(found.ok()) << text;
    for (const Cgroup& cgroup : found ? *found : std::vector<Cgroup>()) paths.push_back(cgroup.path);
    return paths;
  }

  fs::path root_;
};

TEST_F(CgroupTest, FindsACgroupByItsPathInTheHierarchyOrByItsDirectory) {
  const std::string path = "/lxc/web/system.slice";
  for (const std::string& text : {path, path.substr(1), path + "/", std::string("//lxc/./web///system.slice"),
                                  root_.string() + path, root_.string() + "/" + path + "//"}) {
    const Result<Cgroup> cgroup = tree().find(text);
    ASSERT_TRUE(cgroup.ok()) << text << ": " << cgroup.error().message();
    EXPECT_EQ(cgroup->path, path) << text;
    EXPECT_EQ(cgroup->level, 3U);
    EXPECT_EQ(cgroup->id, inode(root_ / "lxc/web/system.slice"));
  }
  EXPECT_EQ(tree().find("/a b:c")->level, 1U);
}

TEST_F(CgroupTest, TheRootIsLevelZero) {
  for (const std::string& text : {std::string("/"), std::string("."), root_.string(), root_.string() + "/"}) {
    const Result<Cgroup> cgroup = tree().find(text);
    ASSERT_TRUE(cgroup.ok()) << text;
    EXPECT_EQ(cgroup->path, "/");
    EXPECT_EQ(cgroup->level, 0U);
    EXPECT_EQ(cgroup->id, inode(root_));
  }
}

TEST_F(CgroupTest, SaysWhatIsNoCgroup) {
  for (const std::string& text :
       {std::string("/nothing"), std::string("/lxc/web/nothing"), std::string("/cgroup.procs"),
        root_.string() + "-other/lxc", std::string(5000, 'x'), std::string("/a\0b", 4)}) {
    const Result<Cgroup> cgroup = tree().find(text);
    ASSERT_FALSE(cgroup.ok()) << text;
    EXPECT_EQ(cgroup.error().kind(), ErrorKind::kNotFound);
    EXPECT_THAT(cgroup.error().hint(), HasSubstr(root_.string()));
  }
  EXPECT_EQ(tree().find("/lxc/../init.scope").error().kind(), ErrorKind::kUsage);
  EXPECT_EQ(tree().find("..").error().kind(), ErrorKind::kUsage);
}

TEST_F(CgroupTest, FindsContainersByIdPrefixAndName) {
  EXPECT_THAT(containers(kId), ElementsAre("/system.slice/docker-" + kId + ".scope"));
  EXPECT_THAT(containers("3f2a9c1b2d4e5"), ElementsAre("/system.slice/docker-" + kId + ".scope"));
  EXPECT_THAT(containers("3F2A9C"), ElementsAre("/docker/" + kTwin, "/system.slice/docker-" + kId + ".scope"))
      << "all that begin so";
  EXPECT_THAT(containers("web"), ElementsAre("/lxc/web"));
  const Cgroup web = tree().find_container("web")->front();
  EXPECT_EQ(web.level, 2U);
  EXPECT_EQ(web.id, inode(root_ / "lxc/web"));
}

TEST_F(CgroupTest, SaysWhichContainerIsNotThere) {
  for (const char* text : {"3f2a9", "ffffff", "monitor", "system.slice", ""}) {
    const Result<std::vector<Cgroup>> found = tree().find_container(text);
    ASSERT_FALSE(found.ok()) << text;
    EXPECT_EQ(found.error().kind(), ErrorKind::kNotFound);
    EXPECT_FALSE(found.error().hint().empty());
  }
  EXPECT_FALSE(CgroupTree("/no/such/place").find_container(kId).ok());
}

TEST_F(CgroupTest, KnowsNoPathOfAnIdOutsideOfTheHierarchy) {
  EXPECT_EQ(tree().path_of(inode(root_ / "lxc")), "") << "not a cgroup file system";
  EXPECT_EQ(CgroupTree("/no/such/place").path_of(1), "");
}

TEST(CgroupMountTest, PrefersTheMountThatShowsTheRoot) {
  std::vector<Mount> mounts;
  for (const char* line : {"31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755",
                           "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory",
                           "40 31 0:38 /docker/x /mnt/part rw,relatime shared:9 master:1 - cgroup2 cgroup2 rw",
                           "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate"})
    mounts.push_back(*parse_mount_line(line));
  const std::vector<Mount> found = cgroup2_mounts(mounts);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].point, "/sys/fs/cgroup/unified");
  EXPECT_EQ(found[1].point, "/mnt/part");
}

/// With the hierarchy of this machine, where it has one.
class LiveCgroupTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "only root opens directories by their number";
    Result<CgroupTree> tree = CgroupTree::open();
    if (!tree) GTEST_SKIP() << tree.error().message();
    tree_.emplace(std::move(*tree));
  }
  std::optional<CgroupTree> tree_;
};

TEST_F(LiveCgroupTest, TheRootHasTheNumberOne) {
  EXPECT_EQ(tree_->find("/")->id, 1U);
  EXPECT_EQ(tree_->path_of(1), "/");
}

TEST_F(LiveCgroupTest, NamesACgroupByItsNumberEvenAfterItsRemoval) {
  const std::string name = "/tracer-test-" + std::to_string(::getpid());
  const fs::path directory = tree_->mount() + name + "/lxc.payload.inner";
  std::error_code failed;
  fs::create_directories(directory, failed);
  if (failed) GTEST_SKIP() << failed.message();
  const Cgroup cgroup = *tree_->find(name + "/lxc.payload.inner");
  const Cgroup outer = *tree_->find(name);
  EXPECT_EQ(cgroup.level, 2U);
  EXPECT_EQ(tree_->path_of(cgroup.id), name + "/lxc.payload.inner");
  EXPECT_THAT(tree_->find_container("inner")->front().path, name + "/lxc.payload.inner");
  fs::remove(directory);
  fs::remove(directory.parent_path());
  EXPECT_EQ(tree_->path_of(cgroup.id), name + "/lxc.payload.inner");
  EXPECT_EQ(tree_->path_of(outer.id), "") << "never asked for while it was there";
}

TEST_F(LiveCgroupTest, KnowsWhereThisProcessIs) {
  const Result<CgroupPlace> place = read_cgroup(::getpid());
  ASSERT_TRUE(place.ok());
  EXPECT_TRUE(tree_->find(place->path).ok()) << place->path;
  EXPECT_EQ(read_cgroup(0x7fffffff).error().kind(), ErrorKind::kNotFound);
}

TEST(CgroupOpenTest, FailsWhereNoHierarchyIsMounted) {
  std::string pattern = (fs::temp_directory_path() / "tracer-mounts-XXXXXX").string();
  ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
  const fs::path process = fs::path(pattern) / std::to_string(::getpid());
  fs::create_directories(process);
  std::ofstream(process / "mountinfo") << "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n";
  const Result<CgroupTree> none = CgroupTree::open(pattern);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().kind(), ErrorKind::kUnsupported);
  EXPECT_THAT(none.error().message(), HasSubstr("no cgroup2 hierarchy"));
  // A place that is not what the line says, as of another mount namespace.
  std::ofstream(process / "mountinfo") << "31 23 0:28 / " << pattern << " rw - cgroup2 cgroup2 rw\n";
  EXPECT_THAT(CgroupTree::open(pattern).error().message(), HasSubstr("a part of the cgroup2 hierarchy only"));
  fs::remove_all(pattern);
}

}  // namespace
}  // namespace tracer::proc
