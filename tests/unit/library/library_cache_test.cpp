// SPDX-License-Identifier: Apache-2.0
#include "library/library_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

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
  Library& find(const fs::path& path) {
    Result<Library*> found = cache_.find_or_inspect(open(path), path.string());
    EXPECT_TRUE(found.ok());
    return **found;
  }

  fs::path directory_;
  LibraryCache cache_{{"malloc", "free"}};
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
  Result<Library*> again = cache_.find_or_inspect(std::move(file), path.string());
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*again, &library);
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

TEST_F(LibraryCacheTest, TheIdentityOfAFileSaysWhatStandsInForItsGeneration) {
  const fs::path path = copy_of(kOther, "libx.so");
  const Result<FileIdentity> identity = FileIdentity::of(open(path).get());
  ASSERT_TRUE(identity.ok());
  EXPECT_NE(identity->inode, 0U);
  EXPECT_NE(identity->generation_kind, FileIdentity::GenerationKind::kNone);
  EXPECT_FALSE(FileIdentity::of(-1).ok());
}

}  // namespace
}  // namespace tracer::library
