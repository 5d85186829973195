// SPDX-License-Identifier: Apache-2.0
#include "recording/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "recording/diff.h"
#include "tests/unit/report/report_fixture.h"

namespace tracer::recording {
namespace {

using report::testing::MemoryOutput;
using report::testing::Scene;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A folder with the recording of a run, and whatever is made from it.
class ConvertTest : public ::testing::Test {
 protected:
  ConvertTest() : folder_(fs::temp_directory_path() / ("convert-" + std::to_string(::getpid()))) {
    fs::create_directories(folder_);
    MemoryOutput output;
    EXPECT_TRUE(Scene::play(*report::make_ndjson_writer(output, scene_.context())).ok());
    lines_ = output.writes;
  }
  ~ConvertTest() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  std::string text_of(std::size_t lines) const {
    std::string text;
    for (std::size_t i = 0; i < lines; ++i) text += lines_[i];
    return text;
  }

  /// Converts `recording` to `format`; "" when that failed.
  std::string converted(const std::string& recording, const std::string& format, std::string extension = "out") {
    std::ofstream(path("run.ndjson"), std::ios::binary) << recording;
    ConvertOptions options;
    options.path = path("run.ndjson");
    options.output.specs = {{path("made." + extension), report::format_named(format)}};
    options.suppressions = suppressions_;
    Result<Converted> done = convert(options);
    failure_.reset();
    leaks_ = 0;
    if (!done) {
      failure_ = done.error();
      return {};
    }
    failure_ = done->damage;
    leaks_ = done->leaks;
    return read(path("made." + extension));
  }

  Scene scene_;
  fs::path folder_;
  std::vector<std::string> lines_;  ///< of the recording
  std::optional<Error> failure_;    ///< of the last conversion, damage too
  std::uint64_t leaks_ = 0;
  std::shared_ptr<const heap::Suppressions> suppressions_;
};

TEST_F(ConvertTest, WritesTheBytesThatTheRunItselfWouldHaveWritten) {
  for (const report::Format& format : report::formats()) {
    // Its periodic snapshot is not in the recording as a whole, and heaptrack would write nine million lines.
    if (format.is_stream || std::string_view(format.name) == "heaptrack") continue;
    MemoryOutput direct;
    ASSERT_TRUE(Scene::play(*format.make(direct, scene_.context(), {})).ok());
    EXPECT_EQ(converted(text_of(lines_.size()), format.name), direct.text()) << format.name;
    EXPECT_FALSE(failure_) << failure_->message();
  }
}

TEST_F(ConvertTest, WritesTheLastReportOfTheTable) {
  MemoryOutput direct;
  ASSERT_TRUE(Scene::play(*report::make_table_writer(direct, scene_.context(), {})).ok());
  const std::string last = direct.writes.back();
  EXPECT_TRUE(converted(text_of(lines_.size()), "table").ends_with(last));
}

TEST_F(ConvertTest, KeepsWhatIsWholeOfARecordingThatEndsTooEarly) {
  for (std::size_t lines = 1; lines < lines_.size(); ++lines) {
    const std::string text = converted(text_of(lines), "folded");
    ASSERT_TRUE(failure_) << lines;
    EXPECT_THAT(failure_->message(), HasSubstr("behind line " + std::to_string(lines)));
    EXPECT_FALSE(failure_->hint().empty());
    const bool has_snapshot = text_of(lines).find("\"type\":\"snapshot\"") != std::string::npos;
    EXPECT_EQ(text.empty(), !has_snapshot) << lines;
  }
}

TEST_F(ConvertTest, NamesTheLineThatIsCutInTheMiddle) {
  std::string text = text_of(lines_.size() - 1);
  text += lines_.back().substr(0, lines_.back().size() / 2);
  EXPECT_FALSE(converted(text, "folded").empty());
  ASSERT_TRUE(failure_);
  EXPECT_EQ(failure_->kind(), ErrorKind::kCorrupt);
  EXPECT_THAT(failure_->message(), HasSubstr("run.ndjson:" + std::to_string(lines_.size()) + ": "));
}

TEST_F(ConvertTest, RefusesWhatIsNoRecording) {
  for (const std::string bad : {"", "\n", "x", "[]\n", "{}\n", "{\"type\":\"summary\"}\n", "{\"type\":\"header\"}\n",
                                "{\"type\":\"header\",\"schema\":\"tracer/2\",\"ts\":1,\"host\":{},\"mode\":\"pid\","
                                "\"config\":{}}\n"}) {
    EXPECT_EQ(converted(bad, "folded", "none"), "");
    ASSERT_TRUE(failure_) << bad;
    EXPECT_FALSE(failure_->hint().empty()) << bad;
    EXPECT_FALSE(fs::exists(path("made.none"))) << bad;
  }
}

TEST_F(ConvertTest, RefusesARecordWithAMemberThatCannotBe) {
  const std::vector<std::pair<std::string, std::string>> changes{{"\"live_bytes\":18048000", "\"live_bytes\":-1"},
                                                                 {"\"live_bytes\":18048000", "\"live_bytes\":18048001"},
                                                                 {"\"live_bytes\":18048000", "\"live_bytes\":1e300"},
                                                                 {"\"stack_id\":18", "\"stack_id\":99999999999"},
                                                                 {"\"module_offset\":\"0x", "\"module_offset\":\"x"},
                                                                 {"\"frames\":[{", "\"frames\":[1,{"},
                                                                 {"\"pid\":4242", "\"pid\":\"4242\""},
                                                                 {"\"end\":\"bad_frame\"", "\"end\":\"unheard_of\""}};
  for (const auto& [from, to] : changes) {
    std::string text = text_of(lines_.size());
    ASSERT_NE(text.find(from), std::string::npos) << from;
    text.replace(text.find(from), from.size(), to);
    converted(text, "folded");
    ASSERT_TRUE(failure_) << to;
    EXPECT_EQ(failure_->kind(), ErrorKind::kCorrupt) << to;
    EXPECT_THAT(failure_->message(), ::testing::ContainsRegex("run.ndjson:[0-9]+: ")) << to;
  }
}

TEST_F(ConvertTest, PassesOverRecordsAndMembersThatItDoesNotKnow) {
  const std::string plain = converted(text_of(lines_.size()), "folded");
  std::string text = lines_.front() + "{\"type\":\"news\",\"stack_id\":\"?\"}\n";
  for (std::size_t i = 1; i < lines_.size(); ++i)
    text += lines_[i].substr(0, lines_[i].size() - 2) + ",\"more\":[1]}\n";
  EXPECT_EQ(converted(text, "folded"), plain);
  EXPECT_FALSE(failure_);
}

TEST_F(ConvertTest, CountsLeaksWithoutThoseThatAreSuppressed) {
  converted(text_of(lines_.size()), "folded");
  EXPECT_EQ(leaks_, 4U);
  auto suppressions = std::make_shared<heap::Suppressions>();
  ASSERT_TRUE(suppressions->add("leak:^leaky*\nleak:libshape\n", "x").ok());
  suppressions_ = suppressions;
  const std::string table = converted(text_of(lines_.size()), "table");
  EXPECT_EQ(leaks_, 2U);
  EXPECT_THAT(table, HasSubstr("of 2 stacks (--suppressions)"));
}

TEST_F(ConvertTest, ComparesByNameWhatTwoRunsHold) {
  std::ofstream(path("a.ndjson")) << text_of(lines_.size());
  std::string later = text_of(lines_.size());
  // In the second run other numbers name the stacks, and one holds more.
  for (const std::string from : {"\"stack_id\":17,", "\"stack_id\":18,"}) {
    const std::string to = "\"stack_id\":9" + from.substr(11);
    for (std::size_t at = 0; (at = later.find(from, at)) != std::string::npos;) later.replace(at, from.size(), to);
  }
  const std::string site = "{\"type\":\"site\",\"pid\":4242,\"stack_id\":917,\"live_bytes\":80000,\"live_objects\":80,";
  ASSERT_NE(later.find(site), std::string::npos);
  later.replace(later.find(site), site.size(),
                "{\"type\":\"site\",\"pid\":4242,\"stack_id\":917,\"live_bytes\":90000,\"live_objects\":90,");
  std::ofstream(path("b.ndjson")) << later;
  Recording before, after;
  Damage damage;
  ASSERT_TRUE(read_recording(path("a.ndjson"), before, damage).ok());
  ASSERT_TRUE(read_recording(path("b.ndjson"), after, damage).ok());
  EXPECT_FALSE(damage);
  const Diff diff = compare(before, after);
  ASSERT_EQ(diff.changes.size(), 1U);
  EXPECT_STREQ(diff.changes[0].kind(), "grown");
  EXPECT_EQ(diff.changes[0].growth_bytes(), 10'000);
  EXPECT_EQ(diff.changes[0].growth_objects(), 10);
  EXPECT_EQ(diff.changes[0].stack[2].function, "inner(unsigned long)");
  EXPECT_EQ(diff.unchanged, 4U);
  EXPECT_EQ(compare(before, before).changes.size(), 0U);
}

}  // namespace
}  // namespace tracer::recording
