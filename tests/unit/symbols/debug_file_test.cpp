// SPDX-License-Identifier: Apache-2.0
#include "symbols/debug_file.h"

#include <gtest/gtest.h>
#include <lzma.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "program.h"

namespace tracer::symbols {
namespace {

namespace fs = std::filesystem;

class DebugFileTest : public testing::Test {
 protected:
  void put(const std::string& path, const std::string& content) {
    const fs::path full = directory_.path() + path;
    fs::create_directories(full.parent_path());
    write_file(full, content);
  }
  /// Any ELF file does for a search by checksum.
  static std::string elf_content() { return read_file("/bin/true"); }
  static std::uint32_t checksum(const std::string& content) {
    return lzma_crc32(reinterpret_cast<const std::uint8_t*>(content.data()), content.size(), 0);
  }
  Result<ElfFile> find(const std::string& link, std::uint32_t crc) {
    return find_debug_file({"/opt/lib/libshop.so", directory_.path(), "", DebugLink{link, crc}});
  }

  TempDirectory directory_;
};

TEST_F(DebugFileTest, FollowsAbsoluteLinksBelowTheRoot) {
  put("/store/shop.debug", "inside");
  fs::create_symlink("/store/shop.debug", directory_ / "link");
  auto fd = open_below(directory_.path(), "/link");
  ASSERT_TRUE(fd.ok()) << fd.error().message();
  char text[7] = {};
  EXPECT_EQ(read(fd->get(), text, 6), 6);
  EXPECT_STREQ(text, "inside");
}

TEST_F(DebugFileTest, DoesNotWaitForTheWriterOfAFifo) {
  ASSERT_EQ(mkfifo((directory_ / "fifo").c_str(), 0600), 0);
  auto fd = open_below(directory_.path(), "/fifo");
  ASSERT_FALSE(fd.ok());
  EXPECT_EQ(fd.error().kind(), ErrorKind::kNotFound);
}

TEST_F(DebugFileTest, FindsALinkedFileInEachOfItsPlaces) {
  const std::string content = elf_content();
  for (const std::string place : {"/opt/lib/", "/opt/lib/.debug/", "/usr/lib/debug/opt/lib/"}) {
    put(place + "shop.debug", content);
    EXPECT_TRUE(find("shop.debug", checksum(content)).ok()) << place;
    fs::remove(directory_.path() + place + "shop.debug");
    EXPECT_FALSE(find("shop.debug", checksum(content)).ok()) << place;
  }
}

TEST_F(DebugFileTest, LooksFurtherWhenAChecksumIsWrong) {
  const std::string content = elf_content();
  put("/opt/lib/shop.debug", "of another build");
  EXPECT_FALSE(find("shop.debug", checksum(content)).ok());
  put("/usr/lib/debug/opt/lib/shop.debug", content);
  EXPECT_TRUE(find("shop.debug", checksum(content)).ok());
}

TEST_F(DebugFileTest, RefusesALinkThatIsAPath) {
  const std::string content = elf_content();
  put("/opt/lib/.debug/shop.debug", content);
  EXPECT_FALSE(find(".debug/shop.debug", checksum(content)).ok());
}

TEST_F(DebugFileTest, RefusesABuildIdThatIsNoHexNumber) {
  put("/usr/lib/debug/.build-id/../shop.debug", elf_content());
  for (const std::string id : {"../shop", "..", "a", "", "/etc/passwd"}) {
    auto file = find_debug_file({"/opt/lib/libshop.so", directory_.path(), id, std::nullopt});
    ASSERT_FALSE(file.ok()) << id;
    EXPECT_EQ(file.error().message(), "no build id to search by");
  }
}

}  // namespace
}  // namespace tracer::symbols
