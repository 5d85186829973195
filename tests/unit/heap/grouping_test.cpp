// SPDX-License-Identifier: Apache-2.0
#include "heap/grouping.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <random>

namespace tracer::heap {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kBlock = 64;  // every block of these tests has so many bytes

/// A process that has allocated and freed so many blocks.
ProcessSnapshot process(std::int32_t pid, std::uint64_t allocs, std::uint64_t frees, std::string exe = "/bin/a") {
  ProcessSnapshot made;
  made.pid = pid;
  made.start_ns = static_cast<std::uint64_t>(pid) * 1000;
  made.exe = std::move(exe);
  made.rss_bytes = 4096;
  made.alloc_objects_total = allocs;
  made.alloc_bytes_total = allocs * kBlock;
  made.free_objects_total = frees;
  made.free_bytes_total = frees * kBlock;
  made.live_objects = allocs - frees;
  made.live_bytes = (allocs - frees) * kBlock;
  return made;
}

Snapshot at(std::uint64_t seconds, std::vector<ProcessSnapshot> processes, const ExitedBooks* books = nullptr) {
  Snapshot snapshot;
  snapshot.t_ns = seconds * kSecond;
  snapshot.processes = std::move(processes);
  if (books != nullptr) books->complete(snapshot);
  return snapshot;
}

std::vector<std::string> keys(const std::vector<Group>& groups) {
  std::vector<std::string> out;
  for (const Group& group : groups) out.push_back(group.key);
  return out;
}

TEST(GroupingTest, PutsWhatHoldsMostFirstAndAmongEqualsTheSmallerPid) {
  RateTracker tracker(GroupBy::kProcess);
  const Snapshot snapshot = at(1, {process(3, 5, 0), process(9, 100, 0), process(2, 5, 0), process(4, 5, 5)});
  EXPECT_THAT(keys(tracker.update(snapshot)), ElementsAre("9/9000/0", "2/2000/0", "3/3000/0", "4/4000/0"));
}

TEST(GroupingTest, AddsUpByProgramContainerAndUser) {
  ProcessSnapshot root = process(1, 10, 2, "/bin/a");
  root.user = "root";
  root.container = "c1";
  ProcessSnapshot guest = process(2, 30, 5, "/bin/a");
  guest.user = "guest";
  ProcessSnapshot other = process(3, 7, 0, "/bin/b");
  other.user = "guest";
  const Snapshot snapshot = at(1, {root, guest, other});
  const auto groups = [&](GroupBy by) { return RateTracker(by).update(snapshot); };
  EXPECT_THAT(keys(groups(GroupBy::kExe)), ElementsAre("/bin/a", "/bin/b"));
  EXPECT_THAT(keys(groups(GroupBy::kContainer)), ElementsAre("", "c1"));
  EXPECT_THAT(keys(groups(GroupBy::kUser)), ElementsAre("guest", "root"));
  const Group a = groups(GroupBy::kExe).front();
  EXPECT_THAT(a.members, ElementsAre(&snapshot.processes[1], &snapshot.processes[0]));
  EXPECT_EQ(a.live_objects, 33U);
  EXPECT_EQ(a.live_bytes, 33 * kBlock);
  EXPECT_EQ(a.alloc_objects_total, 40U);
  EXPECT_EQ(a.alloc_bytes_total, 40 * kBlock);
  EXPECT_EQ(a.rss_bytes, 8192U);
}

TEST(GroupingTest, HasNoRatesInTheFirstSnapshotNorWhereNoTimeHasPassed) {
  RateTracker tracker(GroupBy::kProcess);
  const Snapshot snapshot = at(1, {process(1, 1, 0)});
  EXPECT_FALSE(tracker.update(snapshot)[0].rates.has_value());
  EXPECT_FALSE(tracker.update(snapshot)[0].rates.has_value());
  EXPECT_TRUE(tracker.update(at(2, {process(1, 1, 0)}))[0].rates.has_value());
}

TEST(GroupingTest, DividesWhatHasChangedByTheTimeBetween) {
  RateTracker tracker(GroupBy::kProcess);
  tracker.update(at(1, {process(1, 10, 0), process(2, 10, 0)}));
  const Snapshot snapshot = at(5, {process(1, 30, 26), process(2, 14, 2)});
  const std::vector<Group> groups = tracker.update(snapshot);
  ASSERT_EQ(groups[0].members[0]->pid, 2);
  EXPECT_DOUBLE_EQ(groups[0].rates->growth_bytes_per_s, 2.0 * kBlock / 4);
  EXPECT_DOUBLE_EQ(groups[0].rates->alloc_objects_per_s, 1.0);
  EXPECT_DOUBLE_EQ(groups[1].rates->growth_bytes_per_s, -6.0 * kBlock / 4) << "it shrinks";
  EXPECT_DOUBLE_EQ(groups[1].rates->alloc_objects_per_s, 5.0);
}

TEST(GroupingTest, TakesAPidThatIsUsedAgainForAnotherProcess) {
  RateTracker tracker(GroupBy::kProcess);
  tracker.update(at(1, {process(7, 1000, 0)}));
  ProcessSnapshot successor = process(7, 1010, 0);
  successor.start_ns += 1;
  const Snapshot snapshot = at(2, {successor});
  EXPECT_DOUBLE_EQ(tracker.update(snapshot)[0].rates->alloc_objects_per_s, 1010.0);
}

TEST(GroupingTest, TakesAnExecForAnotherHeap) {
  RateTracker tracker(GroupBy::kProcess);
  tracker.update(at(1, {process(7, 1000, 0)}));
  ProcessSnapshot successor = process(7, 20, 0);
  successor.execs = 1;
  const Snapshot snapshot = at(2, {successor});
  const std::vector<Group> groups = tracker.update(snapshot);
  EXPECT_DOUBLE_EQ(groups[0].rates->alloc_objects_per_s, 20.0);
  EXPECT_DOUBLE_EQ(groups[0].rates->growth_bytes_per_s, 20.0 * kBlock);
}

TEST(GroupingTest, CountsWhatEndedProcessesAllocatedSinceTheLastSnapshot) {
  ExitedBooks books(GroupBy::kExe);
  RateTracker tracker(GroupBy::kExe);
  tracker.update(at(1, {process(1, 100, 40)}, &books));
  books.add(process(1, 130, 90));  // ended with 40 blocks
  books.add(process(2, 5, 0));     // came and went in between
  const Snapshot snapshot = at(2, {process(3, 1, 0)}, &books);
  const std::vector<Group> groups = tracker.update(snapshot);
  ASSERT_EQ(groups.size(), 1U);
  EXPECT_EQ(groups[0].exited, 2U);
  EXPECT_EQ(groups[0].live_objects, 1U);
  EXPECT_EQ(groups[0].alloc_objects_total, 136U);
  EXPECT_DOUBLE_EQ(groups[0].rates->alloc_objects_per_s, 30 + 5 + 1);
  EXPECT_DOUBLE_EQ(groups[0].rates->growth_bytes_per_s, (1.0 - 60.0) * kBlock) << "what they held is not live any more";
}

TEST(GroupingTest, TellsJoiningAGroupFromAllocatingInIt) {
  RateTracker tracker(GroupBy::kUser);
  ProcessSnapshot daemon = process(1, 100, 0);
  daemon.user = "root";
  tracker.update(at(1, {daemon}));
  daemon = process(1, 104, 0);
  daemon.user = "www";  // setuid(2)
  const Snapshot snapshot = at(2, {daemon});
  const std::vector<Group> groups = tracker.update(snapshot);
  EXPECT_THAT(keys(groups), ElementsAre("www"));
  EXPECT_DOUBLE_EQ(groups[0].rates->alloc_objects_per_s, 4.0);
  EXPECT_DOUBLE_EQ(groups[0].rates->growth_bytes_per_s, 4.0 * kBlock);
}

TEST(GroupingTest, NeverReportsANegativeAllocationRate) {
  ExitedBooks books(GroupBy::kUser);
  RateTracker tracker(GroupBy::kUser);
  ProcessSnapshot daemon = process(1, 100, 0);
  daemon.user = "root";
  ProcessSnapshot shell = process(2, 1, 0);
  shell.user = "root";
  tracker.update(at(1, {daemon, shell}, &books));
  daemon.user = "www";  // and ends before the next snapshot: its group then was another one
  books.add(daemon);
  const Snapshot snapshot = at(2, {shell}, &books);
  for (const Group& group : tracker.update(snapshot)) EXPECT_GE(group.rates->alloc_objects_per_s, 0.0) << group.key;
}

TEST(GroupingTest, TakesMeansOverTheWholeRunAtItsEnd) {
  ExitedBooks books(GroupBy::kExe);
  books.add(process(1, 60, 50));
  const Snapshot snapshot = at(10, {process(2, 40, 20)}, &books);
  const std::vector<Group> groups = group_with_means(snapshot, GroupBy::kExe, 10 * kSecond);
  EXPECT_DOUBLE_EQ(groups[0].rates->alloc_objects_per_s, 10.0);
  EXPECT_DOUBLE_EQ(groups[0].rates->growth_bytes_per_s, 2.0 * kBlock);
  EXPECT_FALSE(group_with_means(snapshot, GroupBy::kExe, 0)[0].rates.has_value());
}

TEST(ExitedBooksTest, MakesTheTotalsOfTheMachine) {
  ExitedBooks books(GroupBy::kProcess);
  ProcessSnapshot ended = process(1, 10, 4);
  ended.peak_bytes = 700;
  ended.free_unknown_total = 3;
  ended.stack_ends[0] = 10;
  books.add(ended);
  ProcessSnapshot alive = process(2, 5, 1);
  alive.peak_bytes = 300;
  alive.stack_ends[0] = 5;
  const Snapshot snapshot = at(1, {alive}, &books);
  const MachineTotals& machine = *snapshot.machine;
  EXPECT_EQ(machine.processes_seen_total, 2U);
  EXPECT_EQ(machine.processes_exited_total, 1U);
  EXPECT_EQ(machine.processes_live, 1U);
  EXPECT_EQ(machine.held_at_exit_objects_total, 6U);
  EXPECT_EQ(machine.held_at_exit_bytes_total, 6 * kBlock);
  EXPECT_EQ(machine.counters.live_objects, 4U);
  EXPECT_EQ(machine.counters.alloc_objects_total, 15U);
  EXPECT_EQ(machine.counters.free_unknown_total, 3U);
  EXPECT_EQ(machine.counters.peak_bytes, 1000U);
  EXPECT_EQ(machine.counters.stack_ends[0], 15U);
  EXPECT_EQ(machine.rss_bytes, 4096U);
  EXPECT_THAT(snapshot.exited_groups, IsEmpty()) << "by process each would be one";
}

TEST(ExitedBooksTest, KeepsSoManyGroupsAndCountsTheOthersInTheTotals) {
  ExitedBooks books(GroupBy::kExe);
  constexpr std::int32_t kPrograms = 5000;
  for (std::int32_t pid = 1; pid <= kPrograms; ++pid) books.add(process(pid, 1, 0, "/tmp/test" + std::to_string(pid)));
  books.add(process(1, 1, 0, "/tmp/test1"));
  const Snapshot snapshot = at(1, {}, &books);
  EXPECT_EQ(snapshot.exited_groups.size(), 4096U);
  EXPECT_EQ(snapshot.exited_groups.at("/tmp/test1").processes, 2U);
  EXPECT_EQ(snapshot.machine->processes_exited_total, kPrograms + 1U);
  EXPECT_EQ(snapshot.machine->held_at_exit_objects_total, kPrograms + 1U);
}

/// A machine with processes that come, allocate and go: what groups gain adds up to what was allocated.
TEST(GroupingTest, RatesAddUpToWhatWasAllocated) {
  std::mt19937 random(5);  // NOLINT: the same sequence each time
  ExitedBooks books(GroupBy::kExe);
  RateTracker tracker(GroupBy::kExe);
  std::vector<ProcessSnapshot> alive;
  std::uint64_t allocated = 0;
  double seen = 0;
  double grown = 0;
  std::int32_t next_pid = 1;
  const auto rates = [&](std::uint64_t second) {
    const Snapshot snapshot = at(second, alive, &books);
    std::uint64_t live = 0;
    for (const Group& group : tracker.update(snapshot)) {
      if (!group.rates) continue;
      seen += group.rates->alloc_objects_per_s;
      grown += group.rates->growth_bytes_per_s;
      live += group.live_bytes;
    }
    EXPECT_EQ(live, second == 0 ? 0 : snapshot.machine->counters.live_bytes);
  };
  rates(0);
  for (std::uint64_t second = 1; second <= 200; ++second) {
    for (int step = 0; step < 20; ++step) {
      if (alive.empty() || random() % 3 == 0) {
        alive.push_back(process(next_pid++, 0, 0, "/bin/" + std::to_string(random() % 5)));
      } else if (random() % 4 == 0) {
        std::swap(alive[random() % alive.size()], alive.back());
        books.add(alive.back());
        alive.pop_back();
      } else {
        ProcessSnapshot& one = alive[random() % alive.size()];
        const std::uint64_t more = random() % 100;
        allocated += more;
        one = process(one.pid, one.alloc_objects_total + more, one.free_objects_total + random() % (more + 1), one.exe);
      }
    }
    rates(second);
  }
  std::uint64_t live = 0;
  for (const ProcessSnapshot& one : alive) live += one.live_bytes;
  EXPECT_NEAR(seen, static_cast<double>(allocated), 1e-3);
  EXPECT_NEAR(grown, static_cast<double>(live), 1.0);
}

}  // namespace
}  // namespace tracer::heap
