// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>
#include <stdlib.h>
#include <time.h>

#include <algorithm>
#include <regex>
#include <sstream>
#include <utility>
#include <vector>

#include "report/activity.h"
#include "report/text.h"
#include "report_fixture.h"

namespace tracer::report {
namespace {

using heap::GroupBy;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::MemoryOutput;
using ::testing::Not;
using testing::Scene;

const std::string kWeb = "3f2a9c1b2d4e5f60718293a4b5c6d7e8f90123456789abcdef0123456789abcd";
constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kBootUs = 1'795'500'000'000'000;

RunInfo machine_run(GroupBy by) {
  RunInfo run = Scene::run();
  run.argv = {"tracer", "-a", "--comm", "s*"};
  run.mode = "all";
  run.pids.clear();
  run.by = by;
  run.boot_unix_us = kBootUs;
  run.filter.comms = {"s*"};
  run.filter.users = {0, 33};
  run.filter.excluded_pids = {17};
  run.filter.pidns = proc::PidNamespace{.pid = 1};
  return run;
}

heap::ProcessSnapshot idle(std::int32_t pid, const std::string& comm) {
  heap::ProcessSnapshot process = testing::process_with({});
  process.pid = pid;
  process.comm = comm;
  process.exe = "/usr/bin/" + comm;
  process.start_ns = static_cast<std::uint64_t>(pid) * kSecond;
  process.user = "root";
  process.uid = 0;
  process.rss_bytes = 3'145'728;
  return process;
}

/// A server in a container, a worker beside it, twelve that do next to nothing, and a compiler that has ended.
class Machine {
 public:
  explicit Machine(GroupBy by) : books_(by) {
    server_ = Scene::snapshot().processes[0];
    server_.start_ns = 4242 * kSecond + 123'456'000;
    server_.ns_pid = 7;
    server_.uid = 33;
    server_.user = "www-data";
    server_.exe = "/opt/a-vendor-with-a-long-name/releases/current/bin/server";
    server_.container = kWeb;
    worker_ = Scene::last_snapshot().processes[1];
    worker_.exited = false;
    worker_.start_ns = 4250 * kSecond;
    worker_.uid = 33;
    worker_.user = "www-data";
    worker_.exe = "/usr/bin/worker";
    worker_.rss_bytes = 8'388'608;
  }

  heap::Snapshot first() const {
    heap::Snapshot snapshot = moment(1);
    snapshot.processes = {idle(100, "sleeper"), server_, worker_};
    for (std::int32_t pid = 101; pid < 112; ++pid) snapshot.processes.push_back(idle(pid, "sleeper"));
    snapshot.processes.back() = testing::process_with({64});
    snapshot.processes.back().comm = "sshd";
    snapshot.processes.back().user = "root";
    snapshot.processes.back().exe = "/usr/sbin/sshd";
    snapshot.processes.back().pid = 111;
    snapshot.processes.back().start_ns = 111 * kSecond;
    books_.complete(snapshot);
    return snapshot;
  }
  /// The worker has grown, the server has shrunk, a compiler has come and gone.
  heap::Snapshot second() {
    books_.add(compiler());
    heap::Snapshot snapshot = first();
    snapshot.seq = 2;
    snapshot.t_ns += 5 * kSecond;
    snapshot.unix_us += 5'000'000;
    heap::ProcessSnapshot& server = snapshot.processes[1];
    server.free_objects_total += 1;
    server.free_bytes_total += 65'536;
    server.live_objects -= 1;
    server.live_bytes -= 65'536;
    heap::ProcessSnapshot& worker = snapshot.processes[2];
    worker.alloc_objects_total += 6000;
    worker.alloc_bytes_total += 6000 * 100;
    worker.live_objects += 6000;
    worker.live_bytes += 6000 * 100;
    snapshot.losses[static_cast<std::size_t>(heap::Loss::kSpacesFull)] = 3;
    books_.complete(snapshot);
    return snapshot;
  }
  static heap::ProcessSnapshot compiler() {
    heap::ProcessSnapshot compiler = testing::process_with({1 << 20, 1 << 19});
    compiler.pid = 5000;
    compiler.comm = "cc1plus";
    compiler.exe = "/usr/libexec/cc1plus";
    compiler.user = "builder";
    compiler.start_ns = 5000 * kSecond;
    compiler.execs = 1;
    compiler.exited = true;
    return compiler;
  }
  static heap::Snapshot moment(std::uint64_t seq) {
    heap::Snapshot snapshot = Scene::snapshot();
    snapshot.processes.clear();
    snapshot.seq = seq;
    return snapshot;
  }
  /// Everything that a run writes.
  Result<void> play(Writer& writer, GroupBy by) {
    Result<void> done = writer.begin(machine_run(by));
    ProcessEvent attach;
    attach.t_ns = 545'000;
    attach.unix_us = Scene::run().unix_us + 545;
    attach.pid = server_.pid;
    attach.parent_pid = 1;
    attach.comm = server_.comm;
    attach.exe = server_.exe;
    attach.start_ns = server_.start_ns;
    attach.ns_pid = server_.ns_pid;
    attach.uid = server_.uid;
    attach.user = server_.user;
    attach.container = server_.container;
    if (done) done = writer.process(attach);
    if (done) done = writer.snapshot(first());
    if (done) done = writer.process_ended(compiler(), moment(1));
    const heap::Snapshot later = second();
    if (done) done = writer.snapshot(later);
    heap::Snapshot last = later;
    last.seq = 3;
    if (done) done = writer.finish(last, {"signal", 10 * kSecond, 0, 0});
    return done;
  }

 private:
  heap::ExitedBooks books_;
  heap::ProcessSnapshot server_;
  heap::ProcessSnapshot worker_;
};

/// The scene's stacks, and names for those of process_with().
class MachineReportTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
  }
  std::string table(GroupBy by, TableStyle style = {}, unsigned top = 10) {
    MemoryOutput output;
    EXPECT_TRUE(Machine(by).play(*make_table_writer(output, scene_.context(top), style), by).ok());
    return output.text();
  }
  std::string ndjson(unsigned top = 10) {
    MemoryOutput output;
    EXPECT_TRUE(
        Machine(GroupBy::kProcess).play(*make_ndjson_writer(output, scene_.context(top)), GroupBy::kProcess).ok());
    return output.text();
  }
  std::vector<rapidjson::Document> records(unsigned top = 10) {
    std::vector<rapidjson::Document> out;
    std::istringstream in(ndjson(top));
    for (std::string line; std::getline(in, line);) {
      out.emplace_back().Parse(line.c_str());
      EXPECT_FALSE(out.back().HasParseError()) << line;
    }
    return out;
  }
  Scene scene_;
};

TEST_F(MachineReportTest, WritesTheReviewedTable) { testing::expect_golden("machine.txt", table(GroupBy::kProcess)); }

TEST_F(MachineReportTest, WritesTheReviewedTableForANarrowTerminal) {
  testing::expect_golden("machine-80-columns.txt", table(GroupBy::kProcess, {.columns = 80}));
}

TEST_F(MachineReportTest, WritesTheReviewedTableOfPrograms) {
  testing::expect_golden("machine-by-exe-80-columns.txt", table(GroupBy::kExe, {.columns = 80}, 3));
}

TEST_F(MachineReportTest, WritesTheReviewedTableOfContainers) {
  testing::expect_golden("machine-by-container-80-columns.txt", table(GroupBy::kContainer, {.columns = 80}));
}

TEST_F(MachineReportTest, WritesTheReviewedRecords) {
  std::string text = ndjson();
  text = std::regex_replace(text, std::regex("\"host\":\\{[^}]*\\}"), "\"host\":{}");
  text = std::regex_replace(text, std::regex("\"version\":\"[^\"]*\""), "\"version\":\"VERSION\"");
  testing::expect_golden("machine.ndjson", text);
}

TEST_F(MachineReportTest, WritesRecordsThatFollowTheSchema) {
  EXPECT_EQ(testing::validate(ndjson()), 0);
  std::string broken = ndjson();
  broken.replace(broken.find("\"processes_live\""), 16, "\"processes_dead\"");
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(testing::validate(broken), 3);
  ::testing::internal::GetCapturedStderr();
}

TEST_F(MachineReportTest, StaysWithinEightyColumns) {
  for (const GroupBy by : {GroupBy::kProcess, GroupBy::kExe, GroupBy::kContainer, GroupBy::kUser}) {
    std::istringstream lines(table(by, {.columns = 80}));
    for (std::string line; std::getline(lines, line);) {
      if (line.find("INCOMPLETE") != std::string::npos || line.find("spaces_full") != std::string::npos ||
          line.find("cut stacks") != std::string::npos)
        continue;
      EXPECT_LE(columns_of(line), 80U) << line;
    }
  }
}

TEST_F(MachineReportTest, ShowsAsManyGroupsAsTopSaysAndWhatTheOthersHold) {
  const std::string text = table(GroupBy::kProcess, {}, 1);
  EXPECT_THAT(text, HasSubstr("17.4 MiB live in 14 processes, top 1 by live bytes"));
  EXPECT_THAT(text, HasSubstr("in 13 more\n"));
  EXPECT_THAT(table(GroupBy::kProcess, {}, 0), Not(HasSubstr(" more\n")));
}

TEST_F(MachineReportTest, HasNoRatesBeforeThereIsSomethingToCompareWith) {
  MemoryOutput output;
  const auto writer = make_table_writer(output, scene_.context(), {});
  Machine machine(GroupBy::kProcess);
  ASSERT_TRUE(writer->begin(machine_run(GroupBy::kProcess)).ok());
  ASSERT_TRUE(writer->snapshot(machine.first()).ok());
  EXPECT_THAT(output.text(), HasSubstr("            -          -    30.0 MiB  4242 server [3f2a9c1b2d4e]\n"));
  ASSERT_TRUE(writer->snapshot(machine.second()).ok());
  EXPECT_THAT(output.writes.back(), HasSubstr("    -12.8 KiB          0    30.0 MiB  4242 server [3f2a9c1b2d4e]\n"));
  EXPECT_THAT(output.writes.back(), HasSubstr("   +117.2 KiB      1,200     8.0 MiB  4250 worker\n"));
}

TEST_F(MachineReportTest, ShowsTheStacksOfTheFirstProcessesAndCountsTheOthers) {
  heap::Snapshot snapshot = Machine::moment(1);
  for (std::int32_t pid = 1; pid <= 9; ++pid) {
    snapshot.processes.push_back(testing::process_with({static_cast<std::uint64_t>(pid) * 1000, 10, 9, 8, 7, 6}));
    snapshot.processes.back().pid = pid;
  }
  heap::ExitedBooks(GroupBy::kProcess).complete(snapshot);
  MemoryOutput output;
  const auto writer = make_table_writer(output, scene_.context(), {});
  ASSERT_TRUE(writer->begin(machine_run(GroupBy::kProcess)).ok());
  ASSERT_TRUE(writer->snapshot(snapshot).ok());
  for (const char* shown : {"pid 9 server ", "pid 8 server ", "pid 7 server "})
    EXPECT_THAT(output.text(), HasSubstr(shown));
  EXPECT_THAT(output.text(),
              AllOf(Not(HasSubstr("pid 6 server ")), HasSubstr("top 5 of 6 stacks by bytes"),
                    HasSubstr("(stacks of 6 processes more that hold memory: --pid PID, or -f ndjson)")));
}

TEST_F(MachineReportTest, SaysNothingInTheTableOfProcessesThatComeAndGo) {
  MemoryOutput output;
  const auto writer = make_table_writer(output, scene_.context(), {});
  ASSERT_TRUE(writer->begin(machine_run(GroupBy::kProcess)).ok());
  ProcessEvent event;
  for (const auto kind : {ProcessEvent::Kind::kFork, ProcessEvent::Kind::kExec, ProcessEvent::Kind::kExit}) {
    event.kind = kind;
    ASSERT_TRUE(writer->process(event).ok());
  }
  ASSERT_TRUE(writer->process_ended(Machine::compiler(), Machine::moment(1)).ok());
  EXPECT_THAT(output.text(), IsEmpty());
}

TEST_F(MachineReportTest, WritesAMachineWithoutAProcess) {
  heap::Snapshot snapshot = Machine::moment(1);
  heap::ExitedBooks(GroupBy::kExe).complete(snapshot);
  MemoryOutput output;
  const auto table = make_table_writer(output, scene_.context(), {});
  ASSERT_TRUE(table->begin(machine_run(GroupBy::kExe)).ok());
  ASSERT_TRUE(table->snapshot(snapshot).ok());
  ASSERT_TRUE(table->finish(snapshot, {"signal", kSecond, 0, 0}).ok());
  EXPECT_THAT(output.text(), HasSubstr("0 B live in 0 processes\n"));
}

TEST_F(MachineReportTest, WritesSnapshotsOfThoseOnlyThatWereActiveOrHoldMost) {
  std::vector<std::pair<unsigned, unsigned>> written;  // seq, pid
  std::vector<std::pair<unsigned, unsigned>> announced;
  for (const auto& record : records(1)) {
    const std::string type = record["type"].GetString();
    if (type == "machine") announced.emplace_back(record["seq"].GetUint(), record["snapshots"].GetUint());
    if (type == "snapshot" && record["seq"].GetUint() < 3)
      written.emplace_back(record["seq"].GetUint(), record["pid"].GetUint());
  }
  EXPECT_THAT(written, ElementsAre(std::pair(1U, 4242U), std::pair(1U, 4250U), std::pair(1U, 111U),
                                   std::pair(1U, 5000U),  // ended
                                   std::pair(2U, 4242U), std::pair(2U, 4250U)));
  EXPECT_THAT(announced, ElementsAre(std::pair(1U, 3U), std::pair(2U, 2U), std::pair(3U, 14U)));
}

TEST_F(MachineReportTest, SaysAtOnceWhatAnEndedProcessStillHeld) {
  const std::vector<rapidjson::Document> all = records();
  const auto ended = std::ranges::find_if(
      all, [](const auto& record) { return record.HasMember("exited") && record["exited"].GetBool(); });
  ASSERT_NE(ended, all.end());
  EXPECT_EQ((*ended)["pid"].GetUint(), 5000U);
  EXPECT_EQ((*ended)["execs"].GetUint(), 1U);
  EXPECT_DOUBLE_EQ((*ended)["start_ts"].GetDouble(), 1'795'505'000.0);
  EXPECT_EQ((*ended)["live_bytes"].GetUint64(), (1U << 20) + (1U << 19));
}

TEST_F(MachineReportTest, CountsEndedProcessesInTheSummary) {
  const std::vector<rapidjson::Document> all = records();
  const auto& summary = all.back();
  EXPECT_EQ(summary["processes"].GetUint(), 15U);
  const auto& machine = *std::ranges::find_if(all.rbegin(), all.rend(), [](const auto& record) {
    return std::string(record["type"].GetString()) == "machine";
  });
  EXPECT_EQ(machine["processes_exited_total"].GetUint(), 1U);
  for (const char* name : {"alloc_bytes_total", "free_bytes_total", "live_bytes"})
    EXPECT_EQ(summary[name].GetUint64(), machine[name].GetUint64());
  EXPECT_EQ(machine["alloc_bytes_total"].GetUint64(), machine["free_bytes_total"].GetUint64() +
                                                          machine["live_bytes"].GetUint64() +
                                                          machine["held_at_exit_bytes_total"].GetUint64());
}

TEST_F(MachineReportTest, LetsNoEscapeSequenceOfANameThrough) {
  const std::string hostile = "\x1b]0;owned\x07\r\n\xff";
  heap::Snapshot snapshot = Machine::moment(1);
  heap::ProcessSnapshot& process = snapshot.processes.emplace_back(testing::process_with({5}));
  process.comm = process.exe = process.user = process.container = hostile;
  for (const GroupBy by : {GroupBy::kProcess, GroupBy::kExe, GroupBy::kContainer, GroupBy::kUser}) {
    heap::ExitedBooks(by).complete(snapshot);
    MemoryOutput output;
    const auto writer = make_table_writer(output, scene_.context(), {});
    ASSERT_TRUE(writer->begin(machine_run(by)).ok());
    ASSERT_TRUE(writer->snapshot(snapshot).ok());
    EXPECT_THAT(output.text(), AllOf(Not(HasSubstr("\x1b")), Not(HasSubstr("\r")), HasSubstr("owned")));
    EXPECT_EQ(valid_utf8(output.text()), output.text());
  }
}

TEST(ActivityTest, ChoosesByCallsAndByWhatIsHeld) {
  heap::Snapshot snapshot;
  for (std::int32_t pid = 1; pid <= 4; ++pid) {
    snapshot.processes.push_back(testing::process_with({static_cast<std::uint64_t>(pid)}));
    snapshot.processes.back().pid = pid;
  }
  snapshot.processes.push_back(testing::process_with({}));
  snapshot.processes.back().pid = 5;
  Activity activity(1);
  const auto chosen = [&] {
    std::vector<std::int32_t> pids;
    for (const heap::ProcessSnapshot* process : activity.choose(snapshot)) pids.push_back(process->pid);
    return pids;
  };
  EXPECT_THAT(chosen(), ElementsAre(1, 2, 3, 4)) << "the fifth has done nothing yet";
  EXPECT_THAT(chosen(), ElementsAre(4)) << "it holds most";
  ++snapshot.processes[1].free_unknown_total;
  ++snapshot.processes[4].failed_objects_total;
  EXPECT_THAT(chosen(), ElementsAre(2, 4, 5));
  snapshot.processes[0].start_ns = 9;  // another process with the same pid
  EXPECT_THAT(chosen(), ElementsAre(1, 4));
  activity = Activity(0);
  (void)chosen();
  EXPECT_THAT(chosen(), ElementsAre(1, 2, 3, 4)) << "all that hold something";
}

}  // namespace
}  // namespace tracer::report
