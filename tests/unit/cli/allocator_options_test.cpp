// SPDX-License-Identifier: Apache-2.0
#include "cli/allocator_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "cli/options.h"

namespace tracer::cli {
namespace {

using testing::HasSubstr;
using tracing::Family;

Result<session::Config> read(const RawAllocators& raw) {
  session::Config config;
  Result<void> done = read_allocators(raw, config);
  if (!done) return std::move(done).error();
  return config;
}

bool has(const Result<session::Config>& config, Family family) {
  return config->families.test(tracing::index_of(family));
}

TEST(AllocatorOptionsTest, TheUsualFamiliesAreThereUnlessTakenAway) {
  const Result<session::Config> usual = read({});
  EXPECT_TRUE(has(usual, Family::kLibc) && has(usual, Family::kJemalloc) && has(usual, Family::kCxx));
  EXPECT_FALSE(has(usual, Family::kPython) || has(usual, Family::kCuda));
  const Result<session::Config> more = read({{"python,cuda"}, {"jemalloc", "mimalloc"}, {}});
  EXPECT_TRUE(has(more, Family::kPython) && has(more, Family::kCuda) && has(more, Family::kLibc));
  EXPECT_FALSE(has(more, Family::kJemalloc) || has(more, Family::kMimalloc));
}

TEST(AllocatorOptionsTest, FirstIsTakenAwayThenAdded) {
  const Result<session::Config> one = read({{"cuda"}, {"all"}, {}});
  EXPECT_TRUE(has(one, Family::kCuda));
  EXPECT_FALSE(has(one, Family::kLibc) || has(one, Family::kCxx));
  EXPECT_TRUE(has(read({{"all"}, {}, {}}), Family::kPython));
}

TEST(AllocatorOptionsTest, NamesWhatThereIsForAWordThatNamesNothing) {
  const Result<session::Config> wrong = read({{"jmalloc"}, {}, {}});
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().kind(), ErrorKind::kUsage);
  EXPECT_THAT(wrong.error().message(), HasSubstr("--family 'jmalloc'"));
  EXPECT_THAT(wrong.error().hint(), HasSubstr("jemalloc, tcmalloc, mimalloc, python, cuda"));
  EXPECT_FALSE(read({{}, {"libc,,cxx"}, {}}).ok());
}

TEST(AllocatorOptionsTest, ReadsFunctionsFromTheCommandLineAndFromFiles) {
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / "tracer-pool.allocator";
  std::ofstream(path) << "# a pool\nget(size=1)->ptr\nput(ptr=1)\n";
  const Result<session::Config> config = read({{}, {}, {"libx.so:take(size=2)->ptr", "@" + path.string()}});
  ASSERT_TRUE(config.ok()) << config.error().message();
  ASSERT_EQ(config->own.size(), 3U);
  EXPECT_EQ(config->own[0].file, "libx.so");
  EXPECT_EQ(config->own[2].name, "put");
  std::filesystem::remove(path);
  const Result<session::Config> gone = read({{}, {}, {"@" + path.string()}});
  ASSERT_FALSE(gone.ok());
  EXPECT_THAT(gone.error().message(), HasSubstr(path.string()));
  const Result<session::Config> wrong = read({{}, {}, {"pool_get"}});
  ASSERT_FALSE(wrong.ok());
  EXPECT_THAT(wrong.error().hint(), HasSubstr("pool_get(size=1)->ptr"));
}

TEST(AllocatorOptionsTest, AreOptionsOfTheCommandLine) {
  const char* const words[] = {"tracer", "--check", "--family",    "python",           "--no-family", "libc",
                               "-p",     "1",       "--allocator", "get(size=1)->ptr", "--allocator", "put(ptr=1)"};
  const Result<Options> options = parse_options(std::size(words), words);
  ASSERT_TRUE(options.ok()) << options.error().message();
  EXPECT_EQ(options->config.own.size(), 2U);
  EXPECT_FALSE(options->config.families.test(tracing::index_of(Family::kLibc)));
}

}  // namespace
}  // namespace tracer::cli
