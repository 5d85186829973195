// SPDX-License-Identifier: Apache-2.0
// Names of addresses of one file, as a report asks for them.
//
// usage: bench_symbols FILE < ADDRESSES: hexadecimal, one a line. Prints a line of JSON: how long the first question
// took, which opens the file, how long all took, how much memory the process had at most, and how many had names.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <cstdint>
#include <iostream>
#include <string>
#include <vector>

#include "base/clock.h"
#include "symbols/symbolizer.h"

int main(int argc, char** argv) {
  using namespace tracer;
  if (argc != 2) return 2;
  std::vector<std::uint64_t> addresses;
  for (std::string line; std::getline(std::cin, line);) addresses.push_back(std::stoull(line, nullptr, 16));
  const std::uint64_t begin = monotonic_ns();
  symbols::Symbolizer symbolizer;
  symbolizer.add_module(0, {argv[1], "", UniqueFd(::open(argv[1], O_RDONLY | O_CLOEXEC)), ""});
  std::uint64_t first_ns = 0;
  std::size_t named = 0;
  std::size_t frames = 0;
  for (const std::uint64_t address : addresses) {
    const auto& found = symbolizer.symbolize({0, 0, address, true});
    if (first_ns == 0) first_ns = monotonic_ns() - begin;
    named += found.back().named ? 1 : 0;
    frames += found.size();
  }
  const std::uint64_t all_ns = monotonic_ns() - begin;
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  fmt::print("{{\"first_s\": {:.6f}, \"all_s\": {:.6f}, \"max_rss_kib\": {}, \"named\": {}, \"frames\": {}}}\n",
             static_cast<double>(first_ns) / 1e9, static_cast<double>(all_ns) / 1e9, usage.ru_maxrss, named, frames);
}
