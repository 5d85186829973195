// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <time.h>

#include <random>
#include <sstream>

#include "report/text.h"
#include "report_fixture.h"

namespace tracer::report {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::MemoryOutput;
using ::testing::Not;
using testing::Scene;
using ::testing::StartsWith;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

class TableWriterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
  }
  std::string play(TableStyle style = {}, unsigned top = 10) {
    MemoryOutput output;
    EXPECT_TRUE(Scene::play(*make_table_writer(output, scene_.context(top), style)).ok());
    return output.text();
  }
  /// The last report of a run with `snapshot` as its end.
  std::string finish(const heap::Snapshot& snapshot, std::uint64_t older_ns = 500'000'000) {
    return finish(snapshot, scene_.context(), older_ns);
  }
  std::string finish(const heap::Snapshot& snapshot, const Context& context, std::uint64_t older_ns = 500'000'000) {
    MemoryOutput output;
    const auto writer = make_table_writer(output, context, {});
    RunInfo run = Scene::run();
    run.older_ns = older_ns;
    run.sample_bytes = 512 << 10;
    EXPECT_TRUE(writer->begin(run).ok());
    EXPECT_TRUE(writer->finish(snapshot, {"duration", 5'000'000'000}).ok());
    return output.text();
  }
  static heap::Snapshot freed() {
    heap::Snapshot snapshot = Scene::snapshot();
    snapshot.processes[0] = testing::process_with({});
    snapshot.processes[0].alloc_objects_total = snapshot.processes[0].free_objects_total = 9;
    return snapshot;
  }

  Scene scene_;
};

TEST_F(TableWriterTest, WritesTheReviewedText) { testing::expect_golden("report.txt", play()); }

TEST_F(TableWriterTest, WritesTheReviewedTextForANarrowTerminal) {
  testing::expect_golden("report-80-columns.txt", play({.columns = 80}));
}

TEST_F(TableWriterTest, KeepsFramesWithinTheTerminalAndTheirPlaceReadable) {
  for (const unsigned columns : {40U, 60U, 80U, 132U}) {
    for (const std::string& line : lines_of(play({.columns = columns}))) {
      if (line.starts_with("      #")) {
        EXPECT_LE(columns_of(line), columns) << line;
      }
    }
  }
  EXPECT_THAT(play({.columns = 80}), HasSubstr("... at table.h:214 (server)"));
  EXPECT_THAT(play({.columns = 0}), HasSubstr("at /src/server/include/cache/table.h:214 (server)"));
}

TEST_F(TableWriterTest, ColorsOnlyWhenAskedTo) {
  EXPECT_THAT(play({.color = false}), Not(HasSubstr("\x1b")));
  const std::string colored = play({.color = true});
  EXPECT_THAT(colored, HasSubstr("\x1b[1;31mINCOMPLETE: 12 events lost\x1b[0m\n"));
  EXPECT_THAT(colored, HasSubstr("\x1b[1;31m      growing 7.6 KiB/s"));
  EXPECT_THAT(colored, HasSubstr("\x1b[2m      (stack not recorded)\x1b[0m\n"));
}

TEST_F(TableWriterTest, SaysPlainlyThatNothingLeaks) {
  EXPECT_THAT(finish(freed()), StartsWith("No leaks: no block older than 500 ms is still allocated after 5.0 s.\n"));
  EXPECT_THAT(finish(freed(), 0), StartsWith("No leaks: no block is still allocated after 5.0 s.\n"));
}

TEST_F(TableWriterTest, NeverClaimsThatNothingLeaksWhenEventsWereLost) {
  heap::Snapshot snapshot = freed();
  snapshot.losses[static_cast<std::size_t>(heap::Loss::kThreadState)] = 1;
  const std::string text = finish(snapshot);
  EXPECT_THAT(text, StartsWith("No block older than 500 ms was found, but 1 event lost, see below: leaks cannot be "
                               "ruled out.\n"));
  EXPECT_THAT(text, HasSubstr("\nINCOMPLETE: 1 event lost\n"));
  EXPECT_THAT(text, Not(HasSubstr("No leaks")));
}

TEST_F(TableWriterTest, NeverClaimsThatNothingLeaksWhenNothingWasSeenOrAFilterHidesIt) {
  EXPECT_THAT(finish({}), StartsWith("No allocation was seen in 5.0 s.\n"));
  Context context = scene_.context();
  context.include.emplace("no such function");
  const std::string text = finish(Scene::snapshot(), context);
  EXPECT_THAT(text, StartsWith("Still allocated after 5.0 s, older than 500 ms:\n"));
  EXPECT_THAT(text, HasSubstr("3 stacks, none passes the filters\n"));
}

TEST_F(TableWriterTest, MarksEstimatesAndSaysWhatTheyAre) {
  heap::Snapshot snapshot = Scene::snapshot();
  snapshot.losses = {};
  snapshot.processes.resize(1);
  heap::ProcessSnapshot& process = snapshot.processes[0];
  process.estimated = true;
  for (heap::SiteTotals& site : process.sites) {
    site.live_variance = static_cast<double>(site.live_bytes()) * static_cast<double>(site.live_bytes()) / 64;
    process.live_variance += site.live_variance;
  }
  const std::string text = finish(snapshot);
  EXPECT_THAT(text, HasSubstr("   1.  ~17.2 MiB ±12% in ~12,000 blocks   99.6%   average ~1.5 KiB   mean age ~3.1 s   "
                              "~12,000 allocations by calloc"));
  EXPECT_THAT(text, HasSubstr("  allocated      ~1.2 GiB in ~9,012,128 blocks\n"));
  EXPECT_THAT(text, HasSubstr("  still live     ~17.4 MiB ±12% in ~12,085 blocks\n"));
  EXPECT_THAT(text, HasSubstr("  peak           ~18.4 MiB\n"));
  EXPECT_THAT(text, HasSubstr("  Figures with ~ are estimated from a sample of one in 512.0 KiB (--sample); ± is one "
                              "standard error.\n"));
  EXPECT_THAT(text, Not(HasSubstr("unknown frees"))) << "it says nothing";
  EXPECT_THAT(finish(Scene::snapshot()), AllOf(Not(HasSubstr("~")), Not(HasSubstr("±"))));
}

TEST_F(TableWriterTest, NeverClaimsThatNothingLeaksWhenItHasSeenASample) {
  heap::Snapshot snapshot = freed();
  snapshot.processes[0].estimated = true;
  EXPECT_THAT(finish(snapshot), StartsWith("No sampled block older than 500 ms is still allocated after 5.0 s: what "
                                           "leaks is small beside the sampling distance, if anything does.\n"));
  snapshot.processes[0].alloc_objects_total = 0;
  EXPECT_THAT(finish(snapshot), StartsWith("No allocation was sampled in 5.0 s.\n"));
}

TEST_F(TableWriterTest, NamesEachLossWithItsHint) {
  const std::string text = play();
  EXPECT_THAT(text, HasSubstr("INCOMPLETE: 12 events lost\n"));
  EXPECT_THAT(text, HasSubstr("  11 blocks_full      more live blocks than the table holds: raise --max-memory\n"));
  EXPECT_THAT(text, HasSubstr("   1 read_fault       an argument or result"));
  EXPECT_THAT(text, HasSubstr("(INCOMPLETE, see the end):\n"));
}

TEST_F(TableWriterTest, SaysWhereAndWhyAStackEnds) {
  const std::string text = play();
  EXPECT_THAT(text, HasSubstr("      (stack ends here: the next frame was built without frame pointers)\n"));
  EXPECT_THAT(text, HasSubstr("      (stack cut at 127 frames: --max-stack)\n"));
  EXPECT_THAT(text, HasSubstr("      (stack not recorded)\n"));
}

TEST_F(TableWriterTest, ShowsFewFramesWhileRunningAndAllAtTheEnd) {
  heap::Stack& stack = scene_.stack(17);
  stack.frames.insert(stack.frames.end(), 40, {.ip = 0x7f1c30001042});
  MemoryOutput output;
  const auto writer = make_table_writer(output, scene_.context(), {});
  ASSERT_TRUE(writer->snapshot(Scene::snapshot()).ok());
  EXPECT_THAT(output.text(), HasSubstr("      #7 [0x7f1c30001042]\n      ... 38 more frames\n"));
  ASSERT_TRUE(writer->finish(Scene::snapshot(), {}).ok());
  EXPECT_THAT(output.writes.back(), HasSubstr("      #45 [0x7f1c30001042]\n"));
}

TEST_F(TableWriterTest, HidesFramesThatAreTheSameInEveryProgram) {
  const std::string text = play({});
  EXPECT_THAT(text, Not(HasSubstr("operator new")));
  EXPECT_THAT(text, Not(HasSubstr("__libc_start_call_main")));
  EXPECT_THAT(text, HasSubstr("see -v"));
  MemoryOutput output;
  Context context = scene_.context();
  context.folds = false;
  const auto writer = make_table_writer(output, context, {});
  ASSERT_TRUE(Scene::play(*writer).ok());
  EXPECT_THAT(output.text(), HasSubstr("      #1 operator new(unsigned long) (libstdc++.so.6.0.30)\n"));
  EXPECT_THAT(output.text(), HasSubstr("      #5 __libc_start_call_main (libc.so.6)\n"));
  EXPECT_THAT(output.text(), Not(HasSubstr("see -v")));
}

TEST_F(TableWriterTest, NeverHidesAWholeStack) {
  std::vector<heap::Frame>& frames = scene_.stack(17).frames;
  frames = {frames[0], frames[1], frames[4]};  // malloc, operator new, __libc_start_call_main
  const std::string text = play({});
  EXPECT_THAT(text, HasSubstr("      #1 operator new(unsigned long)"));
  EXPECT_THAT(text, HasSubstr("      #2 __libc_start_call_main"));
}

TEST_F(TableWriterTest, LooksUpNamesOnlyOfTheStacksItShows) {
  MemoryOutput output;
  const auto writer = make_table_writer(output, scene_.context(1), {});
  testing::fake_names().questions = 0;
  ASSERT_TRUE(writer->snapshot(Scene::snapshot()).ok());
  EXPECT_EQ(testing::fake_names().questions, scene_.stack(18).frames.size());
}

TEST_F(TableWriterTest, TellsWhatBecameOfProcesses) {
  MemoryOutput output;
  const auto writer = make_table_writer(output, scene_.context(), {});
  ProcessEvent event;
  event.unix_us = 1'795'600'000'123'456;
  event.pid = 7;
  event.comm = "sh";
  event.exe = "/bin/dash";
  for (const auto kind : {ProcessEvent::Kind::kAttach, ProcessEvent::Kind::kExec, ProcessEvent::Kind::kExit}) {
    event.kind = kind;
    ASSERT_TRUE(writer->process(event).ok());
  }
  EXPECT_EQ(output.text(), "[09:46:40] pid 7 sh   runs /bin/dash\n[09:46:40] pid 7 sh   exited\n");
}

TEST_F(TableWriterTest, RepeatsNoDiagnosticAndKeepsThemForTheEnd) {
  MemoryOutput output;
  const auto writer = make_table_writer(output, scene_.context(), {});
  Diagnostic diagnostic{"warning", "c", "static binary", "use -O", 0, 0, 3};
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(writer->diagnostic(diagnostic).ok());
  EXPECT_THAT(output.text(), IsEmpty());
  ASSERT_TRUE(writer->finish(freed(), {}).ok());
  const std::string note = "\nwarning: pid 3: static binary\n  hint: use -O\n";
  EXPECT_THAT(output.text(), HasSubstr(note));
  EXPECT_EQ(output.text().find(note), output.text().rfind(note));
}

TEST_F(TableWriterTest, ReturnsTheErrorOfItsOutput) {
  MemoryOutput output;
  output.fail_at = 1;
  const Result<void> done = Scene::play(*make_table_writer(output, scene_.context(), {}));
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(output.writes.size(), 1U);
}

/// Names, paths and comm are the traced program's to choose: none may reach the terminal as a command.
TEST_F(TableWriterTest, LetsNoEscapeSequenceOfTheTargetThrough) {
  std::mt19937 random(7);
  const auto hostile = [&] {
    std::string bytes = "\x1b]0;owned\x07\r\n\xc2\x9b\x38m";
    for (int i = 0; i < 12; ++i) bytes += static_cast<char>(random());
    return bytes;
  };
  for (int round = 0; round < 50; ++round) {
    for (auto& [key, frames] : testing::fake_names().frames)
      frames[0] = {hostile(), hostile(), hostile(), 3, false, true};
    MemoryOutput output;
    const auto writer = make_table_writer(output, scene_.context(), {.columns = round % 2 == 0 ? 0U : 70U});
    heap::Snapshot snapshot = Scene::snapshot();
    snapshot.processes[0].comm = hostile();
    ProcessEvent event;
    event.kind = ProcessEvent::Kind::kExec;
    event.comm = hostile();
    event.exe = hostile();
    ASSERT_TRUE(writer->process(event).ok());
    ASSERT_TRUE(writer->snapshot(snapshot).ok());
    ASSERT_TRUE(writer->diagnostic({"error", "code", hostile(), hostile()}).ok());
    ASSERT_TRUE(writer->finish(snapshot, {}).ok());
    for (const std::string& line : lines_of(output.text())) EXPECT_EQ(printable(line), line);
    EXPECT_EQ(valid_utf8(output.text()), output.text());
  }
}

}  // namespace
}  // namespace tracer::report
