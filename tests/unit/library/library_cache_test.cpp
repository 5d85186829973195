// SPDX-License-Identifier: Apache-2.0
#include "library/library_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

namespace tracer::library {
namespace {

namespace fs = std::filesystem;

class LibraryCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "tracer-cache-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { fs::remove_all(directory_); }

  fs::path copy_of(const std::string& source, const std::string& name) {
    fs::copy_file(source, directory_ / name, fs::copy_options::overwrite_existing);
    return directory_ / name;
  }
  static UniqueFd open(const fs::path& path) { return UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)); }
  /// As the kernel half sees the file; on the file systems that tests run on, stat() says the same.
  static FileIdentity identity_of(const UniqueFd& file) {
    struct stat status {};
    EXPECT_EQ(::fstat(file.get(), &status), 0);
    FileIdentity identity;
    identity.device_minor = static_cast<std::uint32_t>(status.st_dev);
    identity.inode = status.st_ino;
    identity.generation = 1;
    identity.size_bytes = static_cast<std::uint64_t>(status.st_size);
    identity.modified_ns = static_cast<std::uint64_t>(status.st_mtim.tv_sec) * 1'000'000'000U +
                           static_cast<std::uint64_t>(status.st_mtim.tv_nsec);
    identity.changed_ns = static_cast<std::uint64_t>(status.st_ctim.tv_sec) * 1'000'000'000U +
                          static_cast<std::uint64_t>(status.st_ctim.tv_nsec);
    return identity;
  }
  /// Each identity has a number, as in the kernel half.
  std::uint32_t number_of(const FileIdentity& identity) {
    return numbers_.try_emplace(identity, static_cast<std::uint32_t>(numbers_.size() + 1)).first->second;
  }
  Library* find_open(UniqueFd file, const fs::path& path) {
    const FileIdentity identity = identity_of(file);
    return cache_.find_or_inspect(number_of(identity), identity, std::move(file), path.string());
  }
  Library& find(const fs::path& path) { return *find_open(open(path), path); }

  fs::path directory_;
  LibraryCache cache_{{"malloc", "free"}};
  std::map<FileIdentity, std::uint32_t> numbers_;
  static constexpr const char* kLibc = "/lib/x86_64-linux-gnu/libc.so.6";
  static constexpr const char* kOther = "/bin/true";
};

TEST_F(LibraryCacheTest, InspectsAFileOnceAndFindsItUnderEveryPath) {
  const fs::path path = copy_of(kLibc, "libc.so");
  fs::create_symlink(path, directory_ / "link.so");
  fs::create_hard_link(path, directory_ / "hard.so");
  Library& library = find(path);
  EXPECT_EQ(library.state(), State::kInspected);
  EXPECT_EQ(&find(directory_ / "link.so"), &library);
  EXPECT_EQ(&find(directory_ / "hard.so"), &library);
  EXPECT_EQ(cache_.libraries().size(), 1U);
  ASSERT_TRUE(library.image().has_value());
  EXPECT_FALSE(library.image()->functions().empty());
}

TEST_F(LibraryCacheTest, AReplacedFileIsAnotherLibraryWhileTheOldOneStays) {
  const fs::path path = copy_of(kLibc, "libx.so");
  Library& old_library = find(path);
  fs::rename(copy_of(kOther, "new.so"), path);
  Library& new_library = find(path);
  EXPECT_NE(&old_library, &new_library);
  EXPECT_EQ(old_library.state(), State::kInspected);
  EXPECT_NE(old_library.module_id(), new_library.module_id());
}

TEST_F(LibraryCacheTest, ADeletedFileIsFoundThroughItsOpenDescriptor) {
  const fs::path path = copy_of(kLibc, "libx.so");
  UniqueFd file = open(path);
  Library& library = find(path);
  fs::remove(path);
  EXPECT_EQ(find_open(std::move(file), path), &library) << "its change time is another one, its content is not";
}

TEST_F(LibraryCacheTest, ARetiredLibraryComesBackUnderItsNumber) {
  const fs::path path = copy_of(kLibc, "libx.so");
  Library& library = find(path);
  library.retire();
  EXPECT_EQ(&find(path), &library);
  EXPECT_EQ(library.state(), State::kInspected);
}

TEST_F(LibraryCacheTest, ARetiredFileThatWasOverwrittenInPlaceIsAnotherLibrary) {
  const fs::path path = copy_of(kLibc, "libx.so");
  Library& library = find(path);
  library.retire();
  {
    // The same inode, other content.
    std::ifstream source(kOther, std::ios::binary);
    std::ofstream(path, std::ios::binary | std::ios::trunc) << source.rdbuf();
  }
  Library& now = find(path);
  EXPECT_NE(&now, &library);
  EXPECT_EQ(library.state(), State::kRetired);
}

TEST_F(LibraryCacheTest, AFileThatIsNoElfFileHasNothingToArm) {
  std::ofstream(directory_ / "data.bin") << "not a program";
  Library& library = find(directory_ / "data.bin");
  EXPECT_EQ(library.state(), State::kInspected);
  EXPECT_FALSE(library.image().has_value());
}

TEST_F(LibraryCacheTest, ARenamedFileIsTheSameLibraryUnderANewNumber) {
  const fs::path path = copy_of(kLibc, "libx.so");
  Library& library = find(path);
  fs::rename(path, directory_ / "liby.so");
  fs::permissions(directory_ / "liby.so", fs::perms::owner_all);
  EXPECT_EQ(&find(directory_ / "liby.so"), &library);
  EXPECT_EQ(numbers_.size(), 2U);
  EXPECT_EQ(cache_.find(1), &library);
  EXPECT_EQ(cache_.find(2), &library);
}

TEST_F(LibraryCacheTest, ARetiredLibraryThatComesBackUnderAnotherNameHasThatName) {
  const fs::path path = copy_of(kLibc, "libx.so");
  Library& library = find(path);
  library.retire();
  fs::rename(path, directory_ / "liby.so");
  EXPECT_EQ(&find(directory_ / "liby.so"), &library);
  EXPECT_EQ(library.path(), (directory_ / "liby.so").string());
}

TEST_F(LibraryCacheTest, AFileThatIsOverwrittenWhileItIsMappedIsAnotherLibrary) {
  const fs::path path = copy_of(kLibc, "libx.so");
  Library& library = find(path);
  copy_of(kOther, "libx.so");
  Library& now = find(path);
  EXPECT_NE(&now, &library);
  EXPECT_EQ(library.state(), State::kInspected) << "whoever maps it has to notice";
}

TEST_F(LibraryCacheTest, AnotherContentUnderAKnownNumberIsToldToTheCaller) {
  const fs::path path = copy_of(kLibc, "libx.so");
  UniqueFd file = open(path);
  const FileIdentity identity = identity_of(file);
  Library* library = cache_.find_or_inspect(7, identity, std::move(file), path.string());
  library->retire();
  copy_of(kOther, "libx.so");
  // As if it had happened within a tick of the clock.
  EXPECT_EQ(cache_.find_or_inspect(7, identity, open(path), path.string()), nullptr);
  EXPECT_EQ(cache_.find(7), library);
  EXPECT_NE(cache_.find_or_inspect(8, identity, open(path), path.string()), library);
}

TEST_F(LibraryCacheTest, AFileWithoutABuildIdIsTheSameOnlyUnderItsNumber) {
  const fs::path path = directory_ / "data.bin";
  std::ofstream(path) << "not a program";
  Library& library = find(path);
  fs::permissions(path, fs::perms::owner_all);
  EXPECT_NE(&find(path), &library);
}

TEST_F(LibraryCacheTest, ALibraryThatNobodyCouldOpenIsRetiredUntilItIsSeen) {
  const fs::path path = copy_of(kLibc, "libx.so");
  const FileIdentity identity = identity_of(open(path));
  Library& lost = cache_.add_lost(number_of(identity), identity, "libx.so");
  EXPECT_EQ(lost.state(), State::kRetired);
  EXPECT_FALSE(lost.was_inspected());
  EXPECT_EQ(&find(path), &lost);
  EXPECT_EQ(lost.state(), State::kInspected);
  EXPECT_EQ(lost.path(), path.string());
  EXPECT_TRUE(lost.image().has_value());
}

TEST(FileIdentityTest, ReadsTheKernelsEncoding) {
  const FileIdentity identity =
      FileIdentity::of({.inode = 12, .changed_ns = 34, .size = 56, .device = 259 << 20 | 3, .generation = 78}, 90);
  EXPECT_EQ(identity.device(), "259:3");
  EXPECT_EQ(identity.inode, 12U);
  EXPECT_EQ(identity.size_bytes, 56U);
  EXPECT_STREQ(identity.told_by(), "generation");
}

TEST(FileIdentityTest, SaysWhatStandsInForAGeneration) {
  FileIdentity identity;
  EXPECT_STREQ(identity.told_by(), "change_time");
  FileIdentity changed = identity;
  changed.changed_ns = 1;
  EXPECT_TRUE(identity.is_same_inode(changed));
  EXPECT_NE(identity, changed);
  changed.generation = 1;
  EXPECT_FALSE(identity.is_same_inode(changed));
}

}  // namespace
}  // namespace tracer::library
