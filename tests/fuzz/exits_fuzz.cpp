// SPDX-License-Identifier: Apache-2.0
// Reads any bytes as the code of a few functions and checks what must hold of the exits that are found in it.

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "elf/function_exits.h"

namespace {

using namespace tracer::elf;

constexpr std::uint64_t kBase = 0x1000;
constexpr std::uint64_t kFunctionSize = 48;

/// The input from kBase on, a function every 48 bytes; each 16 bytes above are the pointer of an import.
class FuzzedCode : public CodeMap {
 public:
  explicit FuzzedCode(Code code) : code_(code) {}
  std::optional<CodeRange> range_at(std::uint64_t address) const override {
    if (address < kBase || address >= kBase + code_.size()) return std::nullopt;
    const std::uint64_t start = address - (address - kBase) % kFunctionSize;
    return CodeRange{start, std::min(start + kFunctionSize, kBase + code_.size())};
  }
  std::vector<std::uint8_t> code_at(std::uint64_t address, std::size_t size) const override {
    if (address < kBase || address >= kBase + code_.size()) return {};
    const Code part = code_.subspan(address - kBase);
    return {part.begin(), part.begin() + static_cast<std::ptrdiff_t>(std::min(size, part.size()))};
  }
  const Import* import_at(std::uint64_t slot) const override { return slot % 2 == 0 ? &defined_ : nullptr; }

 private:
  Code code_;
  Import defined_{"defined", kBase + kFunctionSize};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const FuzzedCode map{Code(data, size)};
  const IsCounted is_counted = [](const Destination& to) { return to.address == kBase + 2 * kFunctionSize; };
  (void)always_calls_counted(kBase, map, is_counted, size % 2 == 0);
  const tracer::Result<std::vector<FunctionExit>> exits = find_exits(kBase, map, is_counted);
  if (!exits) return 0;
  if (exits->empty()) std::abort();
  for (const FunctionExit& exit : *exits) {
    const bool is_inside = exit.address >= kBase && exit.address < kBase + size;
    const bool is_sound = exit.result_register < 16 && exit.condition.value_or(0) < 16 && exit.stack_bytes <= 4096;
    if (!is_inside || !is_sound || std::ranges::count(*exits, exit) != 1) std::abort();
  }
  return 0;
}
