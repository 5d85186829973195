// SPDX-License-Identifier: Apache-2.0
// That estimates are right in the mean and as far off as predicted, for sizes that come in every kind of order.
//
// One simulation is one thread; its sites are told apart by their callers. Bounds are four standard errors, and the
// kernel's random numbers have a seed, so that a test either always passes or never.
#include <algorithm>
#include <cmath>
#include <random>

#include "tests/bpf_host/harness.h"

namespace tracer::bpf_host {
namespace {

struct Site {
  std::uint64_t size = 0;
  std::uint64_t calls = 0;

  double bytes() const { return static_cast<double>(size * calls); }
  /// Of one estimate of bytes(): each block is in with probability p and stands for 1 / p.
  double variance(std::uint64_t distance) const {
    if (size >= distance) return 0;
    const double p = -std::expm1(-static_cast<double>(size) / static_cast<double>(distance));
    return bytes() * static_cast<double>(size) * (1 - p) / p;
  }
};

/// Mean and variance of numbers as they come.
class Spread {
 public:
  void add(double value) {
    ++count_;
    const double delta = value - mean_;
    mean_ += delta / count_;
    squares_ += delta * (value - mean_);
  }
  double mean() const { return mean_; }
  double variance() const { return squares_ / (count_ - 1); }
  double count() const { return count_; }

 private:
  double count_ = 0;
  double mean_ = 0;
  double squares_ = 0;
};

class SampleStatisticsTest : public HostTest {
 protected:
  static constexpr std::uint64_t kDistance = 4096;

  struct Result {
    Spread bytes;
    Spread objects;
    Spread predicted;  ///< the variance that the kernel half estimates
  };

  SampleStatisticsTest() {
    config_.sample_bytes = kDistance;
    kernel_.set_capacity("blocks", 1 << 16);
    sample(space_, 1);
  }

  /// Runs the order of sites `runs` times in a thread each.
  std::vector<Result> simulate(const std::vector<Site>& sites, const std::vector<std::size_t>& order, int runs) {
    std::vector<Result> results(sites.size());
    for (int run = 0; run < runs; ++run) {
      const std::vector<std::uint64_t> live = run_once(sites, order, 10'000 + static_cast<std::uint32_t>(run));
      for (std::size_t i = 0; i < sites.size(); ++i) note(i, results[i]);
      for (const std::uint64_t address : live) main_.free(address);
    }
    return results;
  }

  /// Sizes below and above the distance, `bytes` of each.
  static std::vector<Site> mixed_sites(std::uint64_t bytes) {
    std::vector<Site> sites;
    for (const std::uint64_t size : {64U, 200U, 1000U, 3000U, 4095U, 4096U, 10'000U})
      sites.push_back({size, bytes / size + 1});
    return sites;
  }
  static std::vector<std::size_t> shuffled(const std::vector<Site>& sites) {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < sites.size(); ++i) order.insert(order.end(), sites[i].calls, i);
    std::shuffle(order.begin(), order.end(), std::mt19937(3));
    return order;
  }
  static void expect_as_predicted(const Site& site, const Result& result) {
    const double variance = site.variance(kDistance);
    const double runs = result.bytes.count();
    EXPECT_NEAR(result.bytes.mean(), site.bytes(), 4 * std::sqrt(variance / runs) + site.bytes() * 2e-4) << site.size;
    const double calls = static_cast<double>(site.calls);
    EXPECT_NEAR(result.objects.mean(), calls,
                4 * std::sqrt(variance / runs) / static_cast<double>(site.size) + calls * 5e-4)
        << site.size;
    // The variance of a variance is 2 / (n - 1) of its square.
    const double off = 4 * std::sqrt(2 / (runs - 1));
    EXPECT_NEAR(result.bytes.variance(), variance, variance * off) << site.size;
    // It follows the bytes: of blocks of one size it is a multiple of them.
    const double follows = 4 * std::sqrt(variance / runs) / site.bytes() + 3e-3;
    EXPECT_NEAR(result.predicted.mean(), variance, variance * follows) << site.size;
  }

 private:
  static std::uint64_t caller(std::size_t site) { return 0x555555550000 + site * 0x100; }

  std::vector<std::uint64_t> run_once(const std::vector<Site>& sites, const std::vector<std::size_t>& order,
                                      std::uint32_t tid) {
    Thread thread(kTgid, tid);
    std::vector<std::uint64_t> live;
    std::uint64_t address = kHeap;
    before_ = totals_by_caller(sites.size());
    for (const std::size_t site : order) {
      thread.set_callers({caller(site)});
      thread.malloc(sites[site].size, address += 16);
      if (block(address) != nullptr) live.push_back(address);
    }
    after_ = totals_by_caller(sites.size());
    kernel_.memory.unmap(thread.stack_start());
    kernel_.forget_thread(tid);
    return live;
  }

  struct Seen {
    std::uint64_t bytes = 0;
    std::uint64_t units = 0;
    std::uint64_t variance = 0;
  };
  std::vector<Seen> totals_by_caller(std::size_t sites) {
    std::vector<Seen> out(sites);
    for (std::uint32_t id = 1; id < globals_.next_stack; ++id) {
      const std::size_t site = (frames(id).at(1) - caller(0)) / 0x100;
      out[site] = {stack(id).alloc_bytes, stack(id).alloc_units, kernel_.at<std::uint64_t>("variances", id)};
    }
    return out;
  }
  void note(std::size_t i, Result& result) const {
    result.bytes.add(static_cast<double>(after_[i].bytes - before_[i].bytes));
    result.objects.add(static_cast<double>(after_[i].units - before_[i].units) / TR_OBJECT_UNITS);
    result.predicted.add(static_cast<double>(after_[i].variance) * TR_VARIANCE_UNIT);
  }

  std::vector<Seen> before_;
  std::vector<Seen> after_;
};

TEST_F(SampleStatisticsTest, MixedSizesAreEstimatedWithoutBias) {
  const std::vector<Site> sites = mixed_sites(100'000);
  const std::vector<Result> results = simulate(sites, shuffled(sites), 100);
  for (std::size_t i = 0; i < sites.size(); ++i) expect_as_predicted(sites[i], results[i]);
}

TEST_F(SampleStatisticsTest, OverManyAllocationsTheMeanIsWithinTwoPercent) {
  const std::vector<Site> sites = {{512, 0}, {2000, 0}, {4000, 0}};
  std::vector<Site> with_calls = sites;
  for (Site& site : with_calls) site.calls = 2'000'000 / site.size;
  const std::vector<Result> results = simulate(with_calls, shuffled(with_calls), 50);
  for (std::size_t i = 0; i < sites.size(); ++i) {
    const Site& site = with_calls[i];
    ASSERT_LT(3 * std::sqrt(site.variance(kDistance) / 50), 0.02 * site.bytes()) << "two percent must be worth a test";
    EXPECT_NEAR(results[i].bytes.mean(), site.bytes(), 0.02 * site.bytes()) << site.size;
    EXPECT_NEAR(results[i].objects.mean(), static_cast<double>(site.calls), 0.02 * static_cast<double>(site.calls));
  }
}

TEST_F(SampleStatisticsTest, SizesThatTakeTurnsDoNotAlias) {
  // Together they are half the distance: whoever counts bytes to a fixed mark meets the same size every time.
  std::vector<Site> sites = {{48, 2000}, {2000, 2000}};
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < 2000; ++i) order.insert(order.end(), {0, 1});
  std::vector<Result> results = simulate(sites, order, 60);
  for (std::size_t i = 0; i < 2; ++i) expect_as_predicted(sites[i], results[i]);
}

TEST_F(SampleStatisticsTest, ATinyBlockBehindALargeOneIsSampledAsOftenAsAnyOther) {
  // The large one is hit nearly every second time, so the tiny one mostly follows a fresh draw.
  std::vector<Site> sites = {{40, 2500}, {4000, 2500}};
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < 2500; ++i) order.insert(order.end(), {1, 0});
  std::vector<Result> results = simulate(sites, order, 100);
  for (std::size_t i = 0; i < 2; ++i) expect_as_predicted(sites[i], results[i]);
}

}  // namespace
}  // namespace tracer::bpf_host
