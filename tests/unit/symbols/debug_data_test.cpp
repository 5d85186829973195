// SPDX-License-Identifier: Apache-2.0
#include "elf/debug_data.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/symbols/program.h"

namespace tracer::symbols {
namespace {

using symbols::output_of;
using symbols::TempDirectory;
using symbols::write_file;

class DebugDataTest : public testing::Test {
 protected:
  static std::string pack(const std::string& text) {
    TempDirectory directory;
    write_file(directory / "text", text);
    return output_of("xz -c " + directory / "text");
  }
  static Result<std::vector<char>> unpack(const std::string& packed, std::size_t max_bytes) {
    return elf::decompress_xz({packed.data(), packed.size()}, max_bytes);
  }
};

TEST_F(DebugDataTest, UnpacksWhatXzPacked) {
  std::string text;
  for (int i = 0; i < 200000; ++i) text += std::to_string(i);
  auto unpacked = unpack(pack(text), 16u << 20);
  ASSERT_TRUE(unpacked.ok());
  EXPECT_EQ(std::string(unpacked->begin(), unpacked->end()), text);
}

TEST_F(DebugDataTest, RefusesMoreThanTheLimit) {
  const std::string packed = pack(std::string(1000000, 'x'));
  EXPECT_TRUE(unpack(packed, 1000001).ok());
  auto unpacked = unpack(packed, 999999);
  ASSERT_FALSE(unpacked.ok());
  EXPECT_EQ(unpacked.error().kind(), ErrorKind::kCorrupt);
}

TEST_F(DebugDataTest, RefusesWhatIsCutShortOrDamaged) {
  const std::string packed = pack(std::string(1000, 'x') + "end");
  for (std::size_t size = 0; size < packed.size(); ++size) {
    EXPECT_FALSE(unpack(packed.substr(0, size), 1u << 20).ok()) << size;
  }
  std::string damaged = packed;
  damaged[damaged.size() / 2] ^= 0x40;
  EXPECT_FALSE(unpack(damaged, 1u << 20).ok());
}

}  // namespace
}  // namespace tracer::symbols
