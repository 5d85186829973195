// SPDX-License-Identifier: Apache-2.0
// The measured program: malloc/free pairs, DEPTH calls below each thread's start, 64 to 127 bytes each.
//
//   pairs DEPTH THREADS
//
// Reads one number of milliseconds per line, runs pairs in all threads for that long, and answers with one line of
// JSON:
// {"pairs": N, "ns_per_pair": X}, pairs of all threads together, nanoseconds as a thread sees them (their mean).
// Ends at the end of its input.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr unsigned kBatchPairs = 512;  // between two looks at the clock

struct Measure {
  std::uint64_t pairs = 0;
  double elapsed_ns = 0;
};

/// Keeps the compiler from dropping a pair whose memory nobody uses.
void* use(void* pointer) {
  asm volatile("" : "+r"(pointer) : : "memory");
  return pointer;
}

[[gnu::noinline]] Measure run_pairs(std::chrono::milliseconds time) {
  Measure measure;
  const auto start = Clock::now();
  auto now = start;
  while (now - start < time) {
    for (unsigned i = 0; i < kBatchPairs; ++i) std::free(use(std::malloc(64 + i % 64)));
    measure.pairs += kBatchPairs;
    now = Clock::now();
  }
  measure.elapsed_ns = std::chrono::duration<double, std::nano>(now - start).count();
  return measure;
}

[[gnu::noinline]] Measure descend(unsigned depth, std::chrono::milliseconds time) {
  Measure measure = depth > 1 ? descend(depth - 1, time) : run_pairs(time);
  use(&measure);  // after the call: no frame turns into a jump
  return measure;
}

void run_round(unsigned depth, unsigned threads, std::chrono::milliseconds time) {
  std::vector<Measure> measures(threads);
  std::vector<std::thread> others;
  for (unsigned i = 1; i < threads; ++i) others.emplace_back([&, i] { measures[i] = descend(depth, time); });
  measures[0] = descend(depth, time);
  for (auto& other : others) other.join();

  std::uint64_t pairs = 0;
  double sum_ns = 0;
  for (const Measure& measure : measures) {
    pairs += measure.pairs;
    sum_ns += measure.elapsed_ns / static_cast<double>(measure.pairs);
  }
  std::printf("{\"pairs\": %llu, \"ns_per_pair\": %.3f}\n", static_cast<unsigned long long>(pairs), sum_ns / threads);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const int depth = argc == 3 ? std::atoi(argv[1]) : 0;
  const int threads = argc == 3 ? std::atoi(argv[2]) : 0;
  if (depth < 1 || threads < 1) {
    std::fprintf(stderr, "usage: pairs DEPTH THREADS\n");
    return 2;
  }
  char line[32];
  while (std::fgets(line, sizeof line, stdin) != nullptr) {
    const int milliseconds = std::atoi(line);
    if (milliseconds < 1) return 2;
    run_round(static_cast<unsigned>(depth), static_cast<unsigned>(threads), std::chrono::milliseconds(milliseconds));
  }
}
