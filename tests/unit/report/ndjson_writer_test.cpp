// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <cerrno>
#include <random>
#include <regex>
#include <set>

#include "report_fixture.h"

namespace tracer::report {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::MemoryOutput;
using ::testing::Not;
using testing::Scene;
using testing::validate;
using Records = std::vector<rapidjson::Document>;

Records parse(const MemoryOutput& output) {
  Records records;
  for (const std::string& line : output.writes) {
    EXPECT_EQ(line.find('\n'), line.size() - 1) << "one write is one line";
    rapidjson::Document record;
    record.Parse<rapidjson::kParseValidateEncodingFlag>(line.c_str());
    EXPECT_FALSE(record.HasParseError()) << line;
    EXPECT_TRUE(record.IsObject() && record.HasMember("type")) << line;
    records.push_back(std::move(record));
  }
  return records;
}

std::vector<std::string> types(const Records& records) {
  std::vector<std::string> out;
  for (const auto& record : records) out.emplace_back(record["type"].GetString());
  return out;
}

std::vector<const rapidjson::Document*> of_type(const Records& records, const std::string& type) {
  std::vector<const rapidjson::Document*> out;
  for (const auto& record : records) {
    if (record["type"].GetString() == type) out.push_back(&record);
  }
  return out;
}

Records play(unsigned top = 10) {
  Scene scene;
  MemoryOutput output;
  Context context = scene.context(top);
  context.profile_top = top;
  EXPECT_TRUE(Scene::play(*make_ndjson_writer(output, context)).ok());
  return parse(output);
}

std::string scene_text() {
  Scene scene;
  MemoryOutput output;
  EXPECT_TRUE(Scene::play(*make_ndjson_writer(output, scene.context())).ok());
  return output.text();
}

TEST(NdjsonWriterTest, WritesTheReviewedBytes) {
  std::string text = scene_text();
  text = std::regex_replace(text, std::regex("\"host\":\\{[^}]*\\}"), "\"host\":{}");
  text = std::regex_replace(text, std::regex("\"version\":\"[^\"]*\""), "\"version\":\"VERSION\"");
  testing::expect_golden("report.ndjson", text);
}

TEST(NdjsonWriterTest, WritesItsRecordsInTheOrderOfTime) {
  EXPECT_THAT(types(play()), ElementsAre("header", "process", "library", "process", "module", "module", "module",
                                         "stack", "stack", "module", "stack", "stack", "stack", "snapshot",
                                         "diagnostic", "recording", "recording", "process", "process", "library",
                                         "library", "lost", "lost", "snapshot", "site", "site", "site", "site", "site",
                                         "stack", "snapshot", "site", "leak", "leak", "leak", "leak", "summary"));
}

TEST(NdjsonWriterTest, NamesTheMachineInTheHeader) {
  const Records records = play();
  const auto& host = records[0]["host"];
  EXPECT_GT(host["name"].GetStringLength(), 0U);
  EXPECT_GT(host["kernel"].GetStringLength(), 0U);
  EXPECT_EQ(host["boot_id"].GetStringLength(), 36U);
  EXPECT_GT(host["cpus"].GetUint(), 0U);
  EXPECT_STREQ(records[0]["version"].GetString(), TRACER_VERSION);
}

TEST(NdjsonWriterTest, WritesTimesThatKeepTheirMicroseconds) {
  EXPECT_THAT(scene_text(), HasSubstr(R"("ts":1795600005.123489,"t_ns":5000033000,)"));
  Scene scene;
  MemoryOutput output;
  RunInfo run = Scene::run();
  run.unix_us = 1'795'600'000'000'007;
  ASSERT_TRUE(make_ndjson_writer(output, scene.context())->begin(run).ok());
  EXPECT_THAT(output.text(), HasSubstr(R"("ts":1795600000.000007,"t_ns":0,)"));
}

TEST(NdjsonWriterTest, DescribesEachStackOnceAndBeforeItsFirstUse) {
  std::set<unsigned> described;
  std::size_t uses = 0;
  for (const auto& record : play()) {
    const std::string type = record["type"].GetString();
    if (type == "stack") {
      EXPECT_TRUE(described.insert(record["stack_id"].GetUint()).second);
    } else if (type == "leak") {
      EXPECT_TRUE(described.contains(record["stack_id"].GetUint()));
      ++uses;
    } else if (type == "snapshot") {
      for (const auto& site : record["top"].GetArray()) {
        EXPECT_TRUE(described.contains(site["stack_id"].GetUint()));
        ++uses;
      }
    }
  }
  EXPECT_EQ(described.size(), 6U);
  EXPECT_EQ(uses, 15U);
}

TEST(NdjsonWriterTest, LimitsStacksAndLeaksToTopAndNamesNoOthers) {
  const Records records = play(1);
  // What holds most and what grows in one process, and the only one of the other.
  EXPECT_EQ(of_type(records, "stack").size(), 3U);
  EXPECT_EQ(of_type(records, "leak").size(), 2U);
  for (const auto* snapshot : of_type(records, "snapshot")) EXPECT_EQ((*snapshot)["top"].Size(), 1U);
  EXPECT_EQ((*of_type(records, "snapshot")[0])["stacks_total"].GetUint(), 5U);
  EXPECT_EQ((*of_type(records, "leak")[0])["verdict"], "growing");
  // Stacks 17, 18 and 22 have ten frames; nothing else was looked up.
  EXPECT_EQ(testing::fake_names().questions, 10U);
}

TEST(NdjsonWriterTest, CountsInTheSummaryWhatTopAndFiltersHide) {
  Scene scene;
  MemoryOutput output;
  Context context = scene.context(1);
  context.include.emplace("no such function");
  ASSERT_TRUE(Scene::play(*make_ndjson_writer(output, context)).ok());
  const Records records = parse(output);
  EXPECT_THAT(of_type(records, "leak"), IsEmpty());
  const auto& summary = records.back();
  EXPECT_EQ(summary["leaks"].GetUint(), 4U);
  EXPECT_EQ(summary["leaked_bytes"].GetUint64(), 12'000U * 1504 + 72 * 1000 + 3 * 16 + 4096);
}

TEST(NdjsonWriterTest, AddsUpTheProcessesInTheSummary) {
  const Records records = play();
  const auto snapshots = of_type(records, "snapshot");
  const auto& summary = records.back();
  EXPECT_EQ(summary["processes"].GetUint(), 2U);
  for (const char* name : {"live_bytes", "live_objects", "alloc_bytes_total", "alloc_objects_total", "free_bytes_total",
                           "free_objects_total", "free_unknown_total", "failed_objects_total", "peak_bytes"}) {
    EXPECT_EQ(summary[name].GetUint64(), (*snapshots[1])[name].GetUint64() + (*snapshots[2])[name].GetUint64()) << name;
  }
  EXPECT_STREQ(summary["reason"].GetString(), "target_exit");
  EXPECT_EQ(summary["lost_events_total"].GetUint(), 12U);
  EXPECT_FALSE(summary["complete"].GetBool());
}

TEST(NdjsonWriterTest, ReportsALossWhenItsCounterGrowsAndByHowMuch) {
  Scene scene;
  MemoryOutput output;
  const auto writer = make_ndjson_writer(output, scene.context());
  heap::Snapshot snapshot;
  for (const std::uint64_t total : {0U, 5U, 5U, 12U}) {
    snapshot.losses[static_cast<std::size_t>(heap::Loss::kFreeMissed)] = total;
    ASSERT_TRUE(writer->snapshot(snapshot).ok());
  }
  const Records records = parse(output);
  ASSERT_THAT(types(records), ElementsAre("lost", "lost"));
  EXPECT_STREQ(records[0]["reason"].GetString(), "free_missed");
  EXPECT_EQ(records[0]["count"].GetUint(), 5U);
  EXPECT_EQ(records[1]["count"].GetUint(), 7U);
  EXPECT_EQ(records[1]["total"].GetUint(), 12U);
  EXPECT_GT(records[1]["hint"].GetStringLength(), 0U);
}

TEST(NdjsonWriterTest, WaitsForAStackThatIsNotResolvedAndDescribesItAtTheEndAnyway) {
  Scene scene;
  const heap::Stack stack = scene.stack(18);
  scene.forget_stack(18);
  scene.forget_stack(19);
  MemoryOutput output;
  const auto writer = make_ndjson_writer(output, scene.context());
  ASSERT_TRUE(writer->snapshot(Scene::snapshot()).ok());
  EXPECT_THAT(output.text(), AllOf(Not(HasSubstr("\"stack_id\":18,")), Not(HasSubstr("\"stack_id\":19,"))));
  output.writes.clear();
  scene.add_stack(stack);
  ASSERT_TRUE(writer->finish(Scene::last_snapshot(), {}).ok());
  EXPECT_THAT(output.text(), HasSubstr(R"({"type":"stack","stack_id":18,"frames":[{)"));
  EXPECT_THAT(output.text(),
              HasSubstr(R"({"type":"stack","stack_id":19,"frames":[],"complete":false,"end":"not_recorded"})"));
}

TEST(NdjsonWriterTest, StopsAtTheFirstWriteThatFails) {
  for (std::size_t fail_at = 0; fail_at < 24; ++fail_at) {
    Scene scene;
    MemoryOutput output;
    output.fail_at = fail_at;
    const Result<void> done = Scene::play(*make_ndjson_writer(output, scene.context()));
    ASSERT_FALSE(done.ok());
    EXPECT_EQ(done.error().errno_value(), EPIPE);
    EXPECT_EQ(output.writes.size(), fail_at);
  }
}

TEST(NdjsonWriterTest, SaysHowAProcessEndedOnlyWhenThatIsKnown) {
  Scene scene;
  MemoryOutput output;
  const auto writer = make_ndjson_writer(output, scene.context());
  ProcessEvent event;
  event.kind = ProcessEvent::Kind::kExit;
  event.pid = 7;
  ASSERT_TRUE(writer->process(event).ok());
  event.exit_signal = 11;
  ASSERT_TRUE(writer->process(event).ok());
  EXPECT_THAT(output.writes[0], Not(HasSubstr("signal")));
  EXPECT_THAT(output.writes[1], HasSubstr(R"("exit_code":null,"signal":11)"));
}

/// Every text that comes from outside is random bytes.
TEST(NdjsonWriterTest, WritesValidLinesWhateverBytesNamesConsistOf) {
  std::mt19937 random(42);
  const auto garbage = [&] {
    std::string bytes(random() % 40, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    return bytes;
  };
  for (int round = 0; round < 200; ++round) {
    Scene scene;
    for (auto& [key, frames] : testing::fake_names().frames)
      frames[0] = {garbage(), garbage(), garbage(), 0, false, true};
    MemoryOutput output;
    const auto writer = make_ndjson_writer(output, scene.context());
    RunInfo run;
    run.argv = {garbage(), garbage()};
    ASSERT_TRUE(writer->begin(run).ok());
    ProcessEvent process;
    process.comm = garbage();
    process.exe = garbage();
    process.cmdline = {garbage()};
    ASSERT_TRUE(writer->process(process).ok());
    LibraryEvent library;
    library.path = garbage();
    ASSERT_TRUE(writer->library(library).ok());
    Diagnostic diagnostic;
    diagnostic.message = garbage();
    ASSERT_TRUE(writer->diagnostic(diagnostic).ok());
    heap::Snapshot snapshot = Scene::snapshot();
    snapshot.processes[0].comm = garbage();
    ASSERT_TRUE(writer->finish(snapshot, {garbage(), 0, 0, 0}).ok());
    parse(output);
  }
}

TEST(NdjsonWriterTest, ReplacesMalformedUtf8InANameAndEscapesTheRest) {
  Scene scene;
  const heap::Frame& frame = scene.stack(17).frames[3];
  testing::fake_names().frames[{frame.module, frame.module_address}][0].function = "na\xff\x1b\"me";
  MemoryOutput output;
  ASSERT_TRUE(make_ndjson_writer(output, scene.context())->snapshot(Scene::snapshot()).ok());
  EXPECT_THAT(output.text(), HasSubstr("\"func\":\"na\xef\xbf\xbd\\u001B\\\"me\""));
}

/// The scene, with its first process sampled: one in 512 KiB, and ten samples live at the first of its stacks.
std::string sampled_text() {
  Scene scene;
  MemoryOutput output;
  const auto writer = make_ndjson_writer(output, scene.context());
  RunInfo run = Scene::run();
  run.sample_bytes = 512 << 10;
  heap::Snapshot snapshot = Scene::last_snapshot();
  heap::ProcessSnapshot& process = snapshot.processes[0];
  process.estimated = true;
  process.sites[0].live_variance = 10.0 * (512 << 10) * (512 << 10);
  process.live_variance = process.sites[0].live_variance;
  EXPECT_TRUE(writer->begin(run).ok());
  EXPECT_TRUE(writer->finish(snapshot, {"duration", 5, 0, 0}).ok());
  return output.text();
}

TEST(NdjsonWriterTest, MarksEstimatesAndSaysHowFarTheyMayBeOff) {
  MemoryOutput output;
  std::istringstream text(sampled_text());
  for (std::string line; std::getline(text, line);) output.writes.push_back(line + "\n");
  const Records records = parse(output);
  constexpr unsigned kError = 1657944;  // the square root of ten times 512 KiB
  EXPECT_EQ(records[0]["config"]["sample_bytes"].GetUint(), 512U << 10);
  const auto snapshots = of_type(records, "snapshot");
  EXPECT_TRUE((*snapshots[0])["estimated"].GetBool());
  EXPECT_EQ((*snapshots[0])["error_bytes"].GetUint(), kError);
  EXPECT_TRUE((*snapshots[0])["free_unknown_total"].IsNull()) << "frees of blocks that were not sampled say nothing";
  std::multiset<unsigned> errors;
  for (const auto& site : (*snapshots[0])["top"].GetArray()) errors.insert(site["error_bytes"].GetUint());
  EXPECT_EQ(errors.size(), 5U);
  EXPECT_EQ(errors.count(kError), 1U);
  EXPECT_EQ(errors.count(0), 4U);
  EXPECT_FALSE(snapshots[1]->HasMember("estimated")) << "the other process was not sampled";
  EXPECT_TRUE((*snapshots[1])["free_unknown_total"].IsUint());
  EXPECT_FALSE((*snapshots[1])["top"][0].HasMember("error_bytes"));
  for (const auto* leak : of_type(records, "leak"))
    EXPECT_EQ((*leak)["estimated"].GetBool(), (*leak)["pid"].GetInt() == (*snapshots[0])["pid"].GetInt());
  EXPECT_TRUE(records.back()["estimated"].GetBool());
  EXPECT_EQ(records.back()["error_bytes"].GetUint(), kError);
}

TEST(NdjsonSchemaTest, AcceptsWhatTheWriterWrites) { EXPECT_EQ(validate(scene_text()), 0); }

TEST(NdjsonSchemaTest, AcceptsEstimates) { EXPECT_EQ(validate(sampled_text()), 0); }

TEST(NdjsonSchemaTest, AcceptsARunWithoutAnyAllocation) {
  Scene scene;
  MemoryOutput output;
  const auto writer = make_ndjson_writer(output, scene.context());
  ASSERT_TRUE(writer->begin({}).ok());
  ProcessEvent exit;
  exit.kind = ProcessEvent::Kind::kExit;
  exit.pid = 1;
  ASSERT_TRUE(writer->process(exit).ok());
  heap::Snapshot snapshot;
  snapshot.processes.emplace_back().pid = 1;
  ASSERT_TRUE(writer->finish(snapshot, {"duration", 5, 0, 0}).ok());
  std::string text = output.text();
  // An empty RunInfo has neither mode, backend nor way to unwind.
  text.replace(text.find("\"mode\":\"\""), 9, "\"mode\":\"pid\"");
  text.replace(text.find("\"unwind\":\"\""), 11, "\"unwind\":\"dwarf\"");
  text.replace(text.find("\"backend\":\"\""), 12, "\"backend\":\"multi\"");
  EXPECT_EQ(validate(text), 0);
}

TEST(NdjsonSchemaTest, RefusesARecordThatLacksARequiredMemberOrHasAWrongOne) {
  const std::string text = scene_text();
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{"\"peak_bytes\":", "\"peak\":"},
                                                        {"\"free_unknown_total\":12", "\"free_unknown_total\":-12"},
                                                        {"\"end\":\"truncated\"", "\"end\":\"cut\""},
                                                        {"\"ip\":\"0x", "\"ip\":\""},
                                                        {"\"reason\":\"blocks_full\"", "\"reason\":\"\""},
                                                        {"\"mean_age_ns\":", "\"age\":"},
                                                        {"\"type\":\"leak\"", "\"type\":\"leek\""}}) {
    std::string broken = text;
    ASSERT_NE(broken.find(from), std::string::npos) << from;
    broken.replace(broken.find(from), from.size(), to);
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(validate(broken), 3) << from;
    ::testing::internal::GetCapturedStderr();
  }
}

}  // namespace
}  // namespace tracer::report
