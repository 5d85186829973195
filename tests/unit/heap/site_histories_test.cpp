// SPDX-License-Identifier: Apache-2.0
#include "heap/site_histories.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <map>
#include <random>

namespace tracer::heap {
namespace {

constexpr std::uint64_t kMs = 1'000'000;
constexpr std::uint64_t kBlock = 100;  // bytes of every block

/// A process whose blocks are allocated and freed one by one, with the books of each site kept as the kernel half does.
class Service {
 public:
  explicit Service(std::int32_t pid = 1) { process_.pid = pid; }

  void run_until(std::uint64_t now_ns) { now_ns_ = now_ns; }
  void allocate(StackId site) { blocks_[site].push_back(now_ns_), ++made_[site]; }
  void free_oldest(StackId site) {
    if (!blocks_[site].empty()) blocks_[site].pop_front();
  }
  void free_newest(StackId site) {
    if (!blocks_[site].empty()) blocks_[site].pop_back();
  }
  std::size_t live(StackId site) { return blocks_[site].size(); }

  ProcessSnapshot snapshot() {
    process_.sites.clear();
    for (const auto& [id, births] : blocks_) {
      SiteTotals site;
      site.stack_id = id;
      site.alloc_objects = made_[id];
      site.free_objects = made_[id] - births.size();
      site.alloc_bytes = site.alloc_objects * kBlock;
      site.free_bytes = site.free_objects * kBlock;
      double ages = 0;
      for (const std::uint64_t birth : births) ages += static_cast<double>(now_ns_ - birth);
      if (!births.empty()) site.mean_age_ns = static_cast<std::uint64_t>(ages / static_cast<double>(births.size()));
      process_.sites.push_back(site);
    }
    return process_;
  }

 private:
  std::uint64_t now_ns_ = 0;
  ProcessSnapshot process_;
  std::map<StackId, std::deque<std::uint64_t>> blocks_;
  std::map<StackId, std::uint64_t> made_;
};

class SiteHistoriesTest : public ::testing::Test {
 protected:
  /// Runs `step` every ten milliseconds with samples on the way; the judged end.
  template <typename Step>
  std::map<StackId, Trend> play(std::uint64_t seconds, Step step) {
    Service service;
    std::uint64_t now = 0;
    for (; now <= seconds * 1000 * kMs; now += 10 * kMs) {
      service.run_until(now);
      step(service, static_cast<double>(now) / 1e9);
      if (histories_.is_due({1, 0, 0}, now)) histories_.add(service.snapshot(), now);
    }
    ProcessSnapshot last = service.snapshot();
    histories_.judge(last, now);
    std::map<StackId, Trend> trends;
    for (const SiteTotals& site : last.sites) trends[site.stack_id] = site.trend;
    return trends;
  }

  SiteHistories histories_;
};

TEST_F(SiteHistoriesTest, MeasuresALeakWhateverTheLengthOfTheRun) {
  for (const std::uint64_t seconds : {2, 20, 200}) {
    histories_.clear();
    const Trend trend = play(seconds, [](Service& service, double) { service.allocate(1); })[1];
    EXPECT_EQ(trend.course, Course::kGrowing) << seconds;
    EXPECT_NEAR(trend.growth_bytes_per_s, 100.0 * kBlock, kBlock) << seconds;
    EXPECT_NEAR(static_cast<double>(trend.observed_ns), static_cast<double>(seconds) * 1e9, 1e8) << seconds;
  }
}

TEST_F(SiteHistoriesTest, TellsALeakOfOneBlockInAHundredFromBlocksThatAreFreedSoon) {
  int calls = 0;
  const Trend trend = play(20, [&calls](Service& service, double) {
    service.allocate(1);
    if (++calls % 100 != 0) service.free_newest(1);
  })[1];
  EXPECT_EQ(trend.course, Course::kGrowing);
  EXPECT_NEAR(trend.growth_bytes_per_s, kBlock, kBlock / 20.0);
  EXPECT_LT(trend.freed_after_ns, 10 * kMs);
}

TEST_F(SiteHistoriesTest, KnowsAtWhichAgeBlocksAreFreed) {
  const Trend trend = play(20, [](Service& service, double) {
    service.allocate(1);
    if (service.live(1) > 200) service.free_oldest(1);
  })[1];
  EXPECT_EQ(trend.course, Course::kStopped);
  EXPECT_NEAR(static_cast<double>(trend.freed_after_ns), 2e9, 1e8);
}

TEST_F(SiteHistoriesTest, TellsACacheThatGrowsAndReplacesEntries) {
  int calls = 0;
  const Trend trend = play(20, [&calls](Service& service, double) {
    service.allocate(1);
    if (++calls % 2 == 0) service.free_oldest(1);
  })[1];
  EXPECT_EQ(trend.course, Course::kRecycled);
}

/// Ninety-nine sites of every innocent kind around one that loses a block now and then.
void serve(Service& service, double seconds, std::mt19937& random) {
  const auto chance = [&random](double p) { return std::bernoulli_distribution(p)(random); };
  const auto roll = [&random](int least, int most) { return std::uniform_int_distribution<int>(least, most)(random); };
  if (chance(0.05)) service.allocate(1);                     // the leak: 5 blocks a second
  if (seconds < 12) service.allocate(2);                     // a warm-up, one block each step
  if (service.live(3) < 1500) service.allocate(3);           // a cache that fills to a bound
  if (chance(std::exp(-seconds / 10))) service.allocate(4);  // a cache that fills as it is hit more often
  service.allocate(5);                                       // a cache that grows, and replaces entries
  if (chance(0.7)) service.free_oldest(5);
  if (std::fmod(seconds, 7) < 6.9) {  // a log that is flushed when it is full
    service.allocate(6);
  } else {
    while (service.live(6) > 0) service.free_oldest(6);
  }
  if (std::fmod(seconds, 20) < 2) {  // a batch
    for (int i = 0; i < 5; ++i) service.allocate(7);
  } else {
    while (service.live(7) > 0) service.free_oldest(7);
  }
  if (seconds > 30 && seconds < 30.1) service.allocate(8);  // a burst that stays
  for (StackId site = 9; site <= 100; ++site) {             // requests in flight
    if (chance(0.5)) service.allocate(site);
    while (service.live(site) > static_cast<std::size_t>(roll(0, 40))) service.free_oldest(site);
  }
}

TEST_F(SiteHistoriesTest, PutsTheOneLeakingSiteOfAHundredFirst) {
  for (const unsigned seed : {1U, 2U, 3U}) {
    histories_.clear();
    std::mt19937 random(seed);
    std::map<StackId, Trend> trends =
        play(60, [&random](Service& service, double seconds) { serve(service, seconds, random); });
    EXPECT_EQ(trends[1].course, Course::kGrowing);
    EXPECT_NEAR(trends[1].growth_bytes_per_s, 5.0 * kBlock, 3 * trends[1].growth_error + kBlock);
    EXPECT_EQ(trends[2].course, Course::kStopped);
    EXPECT_EQ(trends[3].course, Course::kStopped);
    for (const auto& [site, trend] : trends) {
      if (site == 1) continue;
      EXPECT_NE(trend.course, Course::kGrowing) << "seed " << seed << ", site " << site;
    }
  }
}

TEST_F(SiteHistoriesTest, KeepsABoundedNumberOfSitesAndJudgesNoOther) {
  ProcessSnapshot process;
  process.pid = 1;
  for (StackId id = 1; id <= SiteHistories::kMostSites + 1; ++id) {
    SiteTotals site;
    site.stack_id = id;
    site.alloc_objects = site.alloc_bytes = 1;
    process.sites.push_back(site);
  }
  for (std::uint64_t t = 0; t < 40; ++t) histories_.add(process, t * 100 * kMs);
  histories_.judge(process, 4000 * kMs);
  EXPECT_EQ(process.sites.front().trend.course, Course::kStopped);
  EXPECT_EQ(process.sites.back().trend.course, Course::kUnknown);
  histories_.forget(process.identity());
  histories_.add(process, 5000 * kMs);
  histories_.judge(process, 5100 * kMs);
  EXPECT_EQ(process.sites.front().trend.course, Course::kUnknown);
}

TEST_F(SiteHistoriesTest, KnowsProcessesApart) {
  Service first(1);
  Service second(2);
  for (std::uint64_t t = 0; t < 40; ++t) {
    first.run_until(t * 100 * kMs);
    second.run_until(t * 100 * kMs);
    first.allocate(1);
    if (t == 0) second.allocate(1);
    histories_.add(first.snapshot(), t * 100 * kMs);
    histories_.add(second.snapshot(), t * 100 * kMs);
  }
  ProcessSnapshot growing = first.snapshot();
  ProcessSnapshot still = second.snapshot();
  histories_.judge(growing, 4000 * kMs);
  histories_.judge(still, 4000 * kMs);
  EXPECT_EQ(growing.sites[0].trend.course, Course::kGrowing);
  EXPECT_EQ(still.sites[0].trend.course, Course::kStopped);
}

}  // namespace
}  // namespace tracer::heap
