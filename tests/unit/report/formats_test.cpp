// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>
#include <zlib.h>

#include <map>
#include <numeric>
#include <sstream>

#include "report/compress.h"
#include "report/file_name.h"
#include "report/format.h"
#include "report/heaptrack_blocks.h"
#include "report_fixture.h"

namespace tracer::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::MemoryOutput;
using ::testing::Not;
using testing::Scene;

std::string written(const char* format, Context context, FormatOptions options = {}) {
  MemoryOutput output;
  EXPECT_TRUE(Scene::play(*format_named(format)->make(output, std::move(context), options)).ok()) << format;
  return output.text();
}

std::string written(const char* format, FormatOptions options = {}) {
  Scene scene;
  return written(format, scene.context(), options);
}

std::map<std::string, std::uint64_t> folded(const std::string& text) {
  std::map<std::string, std::uint64_t> stacks;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t space = line.rfind(' ');
    EXPECT_TRUE(stacks.emplace(line.substr(0, space), std::stoull(line.substr(space + 1))).second) << line;
  }
  return stacks;
}

rapidjson::Document json(const std::string& text) {
  rapidjson::Document document;
  document.Parse<rapidjson::kParseValidateEncodingFlag>(text.c_str());
  EXPECT_FALSE(document.HasParseError());
  return document;
}

heap::HeapCounters totals() {
  heap::HeapCounters sum;
  for (const heap::ProcessSnapshot& process : Scene::last_snapshot().processes) sum += process;
  return sum;
}

TEST(FormatsTest, EachFormatIsFoundByItsNameAndByEachOfItsExtensions) {
  for (const Format& format : formats()) {
    EXPECT_EQ(format_named(format.name), &format);
    EXPECT_THAT(format_names(), HasSubstr(format.name));
    for (const std::string_view extension : format.extensions)
      EXPECT_EQ(format_of_file("dir/run" + std::string(extension)), &format) << extension;
  }
  EXPECT_EQ(format_named("TABLE"), nullptr);
  EXPECT_EQ(format_of_file("run.gz"), nullptr);
}

TEST(FormatsTest, FoldedWritesTheReviewedLines) { testing::expect_golden("report.folded", written("folded")); }

TEST(FormatsTest, FoldedAddsUpToTheTotalsOfEachMetric) {
  const std::map<Metric, std::uint64_t> expected{{Metric::kInuseSpace, totals().live_bytes},
                                                 {Metric::kInuseObjects, totals().live_objects},
                                                 {Metric::kAllocSpace, totals().alloc_bytes_total},
                                                 {Metric::kAllocObjects, totals().alloc_objects_total}};
  for (const auto& [metric, total] : expected) {
    std::uint64_t sum = 0;
    for (const auto& [stack, value] : folded(written("folded", {"-", {}, metric}))) sum += value;
    EXPECT_EQ(sum, total) << static_cast<int>(metric);
  }
}

TEST(FormatsTest, FoldedEscapesWhatWouldPartFramesOrLines) {
  Scene scene;
  testing::fake_names().frames[{1, 0x10d9}][0].function = "a;b\nc\x80";
  const std::string text = written("folded", scene.context());
  EXPECT_THAT(text, HasSubstr("a:b c\xef\xbf\xbd;"));
  for (const auto& [stack, value] : folded(text)) EXPECT_GT(value, 0U);
}

TEST(FormatsTest, WhatTopHidesIsOneSample) {
  Scene scene;
  Context context = scene.context();
  context.profile_top = 1;
  const auto stacks = folded(written("folded", context));
  std::uint64_t sum = 0;
  for (const auto& [stack, value] : stacks) sum += value;
  EXPECT_EQ(sum, totals().live_bytes);
  EXPECT_EQ(stacks.count("server-4242;[other stacks]"), 1U);
}

TEST(FormatsTest, WhatFiltersLeaveOutIsNotThere) {
  Scene scene;
  Context context = scene.context();
  context.include = std::regex("leaky");
  const auto stacks = folded(written("folded", context));
  ASSERT_EQ(stacks.size(), 1U);
  EXPECT_EQ(stacks.begin()->second, 80'000U);
}

TEST(FormatsTest, SpeedscopeHasAProfilePerMetricWithTheTotalsAtTheirEnds) {
  const rapidjson::Document file = json(written("speedscope"));
  const auto profiles = file["profiles"].GetArray();
  ASSERT_EQ(profiles.Size(), 4U);
  EXPECT_STREQ(profiles[0]["name"].GetString(), "inuse_space");
  EXPECT_EQ(profiles[0]["endValue"].GetUint64(), totals().live_bytes);
  EXPECT_EQ(profiles[1]["endValue"].GetUint64(), totals().live_objects);
  EXPECT_EQ(profiles[2]["endValue"].GetUint64(), totals().alloc_bytes_total);
  EXPECT_EQ(profiles[3]["endValue"].GetUint64(), totals().alloc_objects_total);
  for (const auto& profile : profiles) {
    ASSERT_EQ(profile["samples"].Size(), profile["weights"].Size());
    std::uint64_t sum = 0;
    for (const auto& weight : profile["weights"].GetArray()) sum += weight.GetUint64();
    EXPECT_EQ(sum, profile["endValue"].GetUint64());
    for (const auto& sample : profile["samples"].GetArray()) {
      for (const auto& frame : sample.GetArray()) EXPECT_LT(frame.GetUint(), file["shared"]["frames"].Size());
    }
  }
}

TEST(FormatsTest, DhatPointsAddUpToTheTotals) {
  const rapidjson::Document file = json(written("dhat"));
  std::uint64_t bytes = 0, blocks = 0, held = 0;
  for (const auto& point : file["pps"].GetArray()) {
    bytes += point["tb"].GetUint64();
    blocks += point["tbk"].GetUint64();
    held += point["eb"].GetUint64();
    for (const auto& frame : point["fs"].GetArray()) EXPECT_LT(frame.GetUint(), file["ftbl"].Size());
  }
  EXPECT_EQ(bytes, totals().alloc_bytes_total);
  EXPECT_EQ(blocks, totals().alloc_objects_total);
  EXPECT_EQ(held, totals().live_bytes);
  EXPECT_STREQ(file["ftbl"][0].GetString(), "[root]");
}

TEST(FormatsTest, HeaptrackDefinesEverythingBeforeItIsUsed) {
  Scene scene;
  MemoryOutput output;
  const auto writer = format_named("heaptrack")->make(output, scene.context(), {"x.heaptrack", {}, {}});
  ASSERT_TRUE(writer->begin(Scene::run()).ok());
  heap::Snapshot snapshot = Scene::last_snapshot();
  snapshot.processes[0].sites[0].alloc_objects = 900;  // of nine million lines
  snapshot.processes[0].sites[0].free_objects = 900;
  snapshot.processes[0].alloc_objects_total -= 9'000'000 - 900;
  snapshot.processes[0].free_objects_total -= 9'000'000 - 900;
  ASSERT_TRUE(writer->finish(snapshot, {"signal", 1, 0, 0}).ok());
  std::istringstream lines(output.text());
  std::map<char, std::size_t> defined;
  std::size_t allocated = 0, freed = 0;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line.substr(1));
    words >> std::hex;
    std::size_t first = 0, second = 0;
    if (line[0] == 's' || line[0] == 'i' || line[0] == 'a' || line[0] == 't') ++defined[line[0]];
    if (line[0] == 'i') {
      words >> first >> second;
      EXPECT_LE(second, defined['s']) << line;
    } else if (line[0] == 't') {
      words >> first >> second;
      EXPECT_LE(first, defined['i']) << line;
      EXPECT_LT(second, defined['t']) << line;
    } else if (line[0] == 'a') {
      words >> first >> second;
      EXPECT_LE(second, defined['t']) << line;
    } else if (line[0] == '+' || line[0] == '-') {
      words >> first;
      EXPECT_GT(first, 0U);
      EXPECT_LT(first, defined['a']) << line;
      ++(line[0] == '+' ? allocated : freed);
    }
  }
  EXPECT_EQ(allocated, 900U + 120 + 3 + 12'000 + 5 + 7);
  EXPECT_EQ(freed, 900U + 40 + 1 + 0 + 2 + 6);
}

TEST(FormatsTest, PprofIsTheSameEachTimeAndUnpacks) {
  const std::string packed = written("pprof");
  EXPECT_EQ(packed, written("pprof"));
  z_stream stream{};
  ASSERT_EQ(::inflateInit2(&stream, 31), Z_OK);
  std::string message(1 << 20, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(message.data());
  stream.avail_out = static_cast<uInt>(message.size());
  EXPECT_EQ(::inflate(&stream, Z_FINISH), Z_STREAM_END);
  message.resize(stream.total_out);
  ::inflateEnd(&stream);
  for (const char* text :
       {"inuse_space", "leaky(unsigned long)", "/src/t.cpp", "0000000000000000000000000000000000000001"})
    EXPECT_THAT(message, HasSubstr(text));
  EXPECT_THAT(message, Not(HasSubstr("operator new"))) << "the allocator is nobody's business";
}

TEST(HeaptrackBlocksTest, SizesAddUpToWhatIsKnown) {
  for (const Blocks blocks : {Blocks{1, 0}, Blocks{3, 10}, Blocks{7, 7}, Blocks{1000, 4'999'999}, Blocks{0, 5}}) {
    Blocks sum;
    for (const Blocks& part : even_sizes(blocks, 1)) {
      EXPECT_EQ(part.bytes % part.count, 0U);
      sum.count += part.count;
      sum.bytes += part.bytes;
    }
    EXPECT_EQ(sum.bytes, blocks.bytes);
    EXPECT_EQ(sum.count, std::max<std::uint64_t>(blocks.count, 1));
  }
  EXPECT_TRUE(even_sizes({0, 0}, 1).empty());
}

TEST(HeaptrackBlocksTest, BatchesStayBelowThePeakUnlessOneBlockIsLarger) {
  std::vector<std::uint64_t> batches;
  const auto take = [&](const std::vector<BlockRun>& batch) -> Result<void> {
    std::uint64_t bytes = 0;
    for (const BlockRun& run : batch) bytes += run.size_bytes * run.count;
    batches.push_back(bytes);
    return {};
  };
  ASSERT_TRUE(for_each_batch({{1, 10, 7}, {2, 60, 1}, {3, 0, 5}, {4, 20, 2}}, 50, take).ok());
  EXPECT_THAT(batches, ElementsAre(50, 20, 60, 40));
}

TEST(HeaptrackBlocksTest, TakesWhatFitsAndLeavesTheRest) {
  std::vector<BlockRun> runs{{1, 40, 3}, {2, 15, 2}, {3, 5, 9}};
  std::uint64_t bytes = 0;
  for (const BlockRun& run : take_fitting(runs, 100)) bytes += run.size_bytes * run.count;
  EXPECT_EQ(bytes, 100U);  // 80 + 15 + 5
  EXPECT_EQ(runs[0].count + runs[1].count + runs[2].count, 14U - 4);
}

TEST(CompressTest, ZstdAndGzipAnnounceThemselvesAndAreTheSameEachTime) {
  const std::string text(3'000'000, 'x');
  using Make = std::unique_ptr<CompressedOutput> (*)(Output&);
  const std::vector<std::pair<Make, std::string>> formats{{make_gzip_output, "\x1f\x8b"},
                                                          {make_zstd_output, "\x28\xb5\x2f\xfd"}};
  for (const auto& [make, magic] : formats) {
    std::string packed[2];
    for (std::string& one : packed) {
      MemoryOutput output;
      const auto compressed = make(output);
      ASSERT_TRUE(compressed->write(text).ok());
      ASSERT_TRUE(compressed->finish().ok());
      one = output.text();
    }
    EXPECT_TRUE(packed[0].starts_with(magic));
    EXPECT_LT(packed[0].size(), 10'000U);
    EXPECT_EQ(packed[0], packed[1]);
  }
}

TEST(FileNameTest, ExpandsEachPlaceHolder) {
  const NameFacts facts{4242, "a/b", 1'795'600'000'123'456};
  EXPECT_EQ(expand_file_name("run-%p-%h-%n.pb.gz", facts, 7), "run-4242-a_b-7.pb.gz");
  EXPECT_EQ(expand_file_name("100%%.txt", facts, 7), "100%.txt");
  EXPECT_THAT(expand_file_name("%t", facts, 7), ::testing::MatchesRegex("20261125-[0-9][0-9]4640"));
  EXPECT_TRUE(has_snapshot_number("a-%n"));
  EXPECT_FALSE(has_snapshot_number("a-%%n"));
}

TEST(FileNameTest, RefusesWhatItDoesNotKnow) {
  for (const char* good : {"a", "%p", "dir/%n.folded", "%%", "-"}) EXPECT_TRUE(check_file_name(good).ok()) << good;
  for (const char* bad : {"%", "a%", "%x", "a-%d.pb.gz", "%p/a", "%%/a"}) {
    const Result<void> checked = check_file_name(bad);
    ASSERT_FALSE(checked.ok()) << bad;
    EXPECT_EQ(checked.error().kind(), ErrorKind::kUsage);
    EXPECT_FALSE(checked.error().hint().empty());
  }
}

}  // namespace
}  // namespace tracer::report
