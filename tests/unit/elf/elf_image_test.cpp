// SPDX-License-Identifier: Apache-2.0
#include "elf/elf_image.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>

#include "base/unique_fd.h"

namespace tracer::elf {
namespace {

constexpr const char* kLibc = "/lib/x86_64-linux-gnu/libc.so.6";
const std::vector<std::string_view> kWanted{"malloc", "free", "memalign", "aligned_alloc", "strlen"};

UniqueFd open_file(const char* path) { return UniqueFd(::open(path, O_RDONLY | O_CLOEXEC)); }

UniqueFd file_of(const std::vector<char>& contents) {
  UniqueFd fd(::memfd_create("elf", MFD_CLOEXEC));
  EXPECT_EQ(::write(fd.get(), contents.data(), contents.size()), static_cast<ssize_t>(contents.size()));
  return fd;
}

std::string output_of(const std::string& command) {
  std::string text;
  FILE* pipe = ::popen(command.c_str(), "r");
  std::array<char, 4096> buffer{};
  while (pipe != nullptr && std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) text += buffer.data();
  if (pipe != nullptr) ::pclose(pipe);
  return text;
}

TEST(ElfImageTest, ReadsWhatReadelfReads) {
  const Result<ElfImage> image = ElfImage::read(open_file(kLibc).get(), kWanted);
  ASSERT_TRUE(image.ok());
  EXPECT_TRUE(image->is_64_bit());
  EXPECT_EQ(image->machine(), Machine::kX86_64);
  EXPECT_FALSE(image->interpreter().empty());
  EXPECT_NE(output_of(std::string("readelf -n ") + kLibc).find("Build ID: " + image->build_id()), std::string::npos);
  const std::string symbols = output_of(std::string("nm -D --defined-only ") + kLibc);
  for (const FunctionSymbol& function : image->functions()) {
    char line[64];
    std::snprintf(line, sizeof(line), "%016lx T %s@@", static_cast<unsigned long>(function.address),
                  function.name.c_str());
    char weak[64];
    std::snprintf(weak, sizeof(weak), "%016lx W %s@@", static_cast<unsigned long>(function.address),
                  function.name.c_str());
    EXPECT_TRUE(symbols.find(line) != std::string::npos || symbols.find(weak) != std::string::npos) << line;
  }
}

TEST(ElfImageTest, KeepsTheWantedFunctionsSortedAndLeavesOutIndirectOnes) {
  const Result<ElfImage> image = ElfImage::read(open_file(kLibc).get(), kWanted);
  ASSERT_TRUE(image.ok());
  std::vector<std::string> names;
  for (const FunctionSymbol& function : image->functions()) names.push_back(function.name);
  std::ranges::sort(names);
  // strlen is chosen at run time (STT_GNU_IFUNC): its symbol is not the function.
  EXPECT_EQ(names, (std::vector<std::string>{"aligned_alloc", "free", "malloc", "memalign"}));
  EXPECT_TRUE(std::ranges::is_sorted(image->functions(), {}, &FunctionSymbol::address));
}

TEST(ElfImageTest, AddressesAndFileOffsetsLeadToEachOther) {
  const Result<ElfImage> image = ElfImage::read(open_file("/bin/true").get(), {});
  ASSERT_TRUE(image.ok());
  for (const Segment& segment : image->segments()) {
    if (!segment.executable) continue;
    EXPECT_EQ(image->address_of_offset(segment.file_offset), segment.address);
    EXPECT_EQ(image->offset_of_address(segment.address), segment.file_offset);
    EXPECT_EQ(image->offset_of_address(segment.address + segment.file_size_bytes), std::nullopt);
  }
  EXPECT_EQ(image->offset_of_address(~std::uint64_t{0}), std::nullopt);
  EXPECT_EQ(image->address_of_offset(~std::uint64_t{0}), std::nullopt);
}

TEST(ElfImageTest, RefusesWhatIsNoElfFile) {
  EXPECT_FALSE(ElfImage::read(file_of({}).get(), kWanted).ok());
  EXPECT_FALSE(ElfImage::read(file_of({'#', '!', '/', 'b'}).get(), kWanted).ok());
  EXPECT_FALSE(ElfImage::read(open_file("/").get(), kWanted).ok());
  EXPECT_FALSE(ElfImage::read(open_file("/dev/null").get(), kWanted).ok());
  EXPECT_FALSE(ElfImage::read(-1, kWanted).ok());
}

TEST(ElfImageTest, ATruncatedProgramIsCorrupt) {
  std::ifstream in("/bin/true", std::ios::binary);
  const std::vector<char> whole{std::istreambuf_iterator<char>(in), {}};
  const UniqueFd file = file_of(whole);
  ASSERT_TRUE(ElfImage::read(file.get(), kWanted).ok());
  std::mt19937 random(5);
  for (int i = 0; i < 300; ++i) {
    const std::size_t size = random() % whole.size();
    const UniqueFd part = file_of({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)});
    const Result<ElfImage> image = ElfImage::read(part.get(), kWanted);
    ASSERT_FALSE(image.ok()) << size;
    EXPECT_EQ(image.error().kind(), ErrorKind::kCorrupt) << size;
  }
}

TEST(ElfImageTest, SurvivesEveryKindOfDamage) {
  std::ifstream in("/bin/true", std::ios::binary);
  const std::vector<char> whole{std::istreambuf_iterator<char>(in), {}};
  ASSERT_GT(whole.size(), 1000U);
  std::mt19937 random(11);
  for (int i = 0; i < 400; ++i) {
    std::vector<char> damaged = whole;
    if (i % 2 == 0) damaged.resize(random() % whole.size());
    // The headers at both ends are where damage hurts most.
    for (int flips = 0; flips < 8 && !damaged.empty(); ++flips) {
      const std::size_t near = random() % std::min<std::size_t>(damaged.size(), 2048);
      const std::size_t at = random() % 2 == 0 ? near : damaged.size() - 1 - near;
      damaged[at] = static_cast<char>(random());
    }
    const UniqueFd file = file_of(damaged);
    const Result<ElfImage> image = ElfImage::read(file.get(), kWanted);
    if (!image) {
      EXPECT_FALSE(image.error().message().empty());
    }
  }
}

TEST(ReadBytesTest, IsShorterAtTheEndOfTheFile) {
  const UniqueFd file = file_of({'a', 'b', 'c'});
  const Result<std::vector<std::uint8_t>> all = read_bytes(file.get(), 1, 100);
  ASSERT_TRUE(all.ok());
  EXPECT_EQ(*all, (std::vector<std::uint8_t>{'b', 'c'}));
  EXPECT_TRUE(read_bytes(file.get(), 100, 10)->empty());
  EXPECT_FALSE(read_bytes(-1, 0, 10).ok());
}

}  // namespace
}  // namespace tracer::elf
