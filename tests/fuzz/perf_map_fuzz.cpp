// SPDX-License-Identifier: Apache-2.0
// Reads any bytes as a perf map, in one piece and in several, and checks what must hold of every map.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "symbols/perf_map.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using tracer::symbols::PerfMap;
  if (size == 0) return 0;
  const std::size_t piece = data[0] + 1U;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  PerfMap whole;
  whole.add(text);
  PerfMap pieces;
  for (std::size_t at = 0; at < text.size(); at += piece) pieces.add(text.substr(at, piece));
  require(whole.size() == pieces.size() && whole.broken_lines() == pieces.broken_lines());
  require(whole.size() <= text.size() / 4);
  for (const std::uint64_t address :
       {0x0ULL, 0x1ULL, 0x10ULL, 0x100ULL, 0x1234ULL, 0x3ef414c0ULL, 0x7f0c3c9b8a10ULL, ~0ULL}) {
    require(whole.name_at(address) == pieces.name_at(address));
    require(whole.name_at(address).size() <= PerfMap::kLongestName);
  }
  return 0;
}
