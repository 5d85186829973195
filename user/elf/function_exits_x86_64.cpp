// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "elf/function_exits.h"
#include "elf/range_code.h"
#include "elf/register_trace.h"

namespace tracer::elf {
namespace {

// An operator new ends in two or three other functions.
constexpr std::size_t kMostRanges = 32;
constexpr std::size_t kMostExits = 64;

Error cannot_follow(const std::string& why) { return Error(ErrorKind::kUnsupported, why); }

/// The functions that a call may end in, each looked through once.
class ExitSearch {
 public:
  ExitSearch(const CodeMap& map, const IsCounted& is_counted) : map_(map), is_counted_(is_counted) {}

  Result<std::vector<FunctionExit>> run(std::uint64_t entry) {
    const std::optional<CodeRange> first = map_.range_at(entry);
    if (!first || first->start != entry) return cannot_follow("no call frame information tells where it ends");
    waiting_.push_back(*first);
    while (!waiting_.empty()) {
      const CodeRange range = waiting_.back();
      waiting_.pop_back();
      if (!seen_.insert(range.start).second) continue;
      if (seen_.size() > kMostRanges) return cannot_follow("it ends in too many functions");
      if (Result<void> looked = look_through(range); !looked) return std::move(looked).error();
    }
    std::ranges::sort(exits_, {},
                      [](const FunctionExit& exit) { return std::tuple(exit.address, exit.condition.value_or(0)); });
    if (exits_.empty()) return cannot_follow("it never returns");
    if (exits_.size() > kMostExits) return cannot_follow("it has too many exits");
    return std::move(exits_);
  }

 private:
  Result<void> look_through(const CodeRange& range) {
    const Result<RangeCode> code = decode_range(map_, range);
    if (!code) return code.error();
    for (std::size_t i = 0; i < code->steps.size(); ++i) {
      const Step& step = code->steps[i];
      if (step.flow == Flow::kReturn) add_return(*code, i);
      if (step.flow == Flow::kIndirectJump || step.flow == Flow::kJump || step.flow == Flow::kBranch) {
        if (Result<void> followed = follow(*code, step); !followed) return followed;
      }
    }
    return {};
  }

  void add_return(const RangeCode& code, std::size_t index) {
    for (const FunctionExit& exit : exits_before_return(code, index)) {
      if (std::ranges::find(exits_, exit) == exits_.end()) exits_.push_back(exit);
    }
  }

  Result<void> follow(const RangeCode& code, const Step& step) {
    if (step.flow != Flow::kIndirectJump && code.holds(step.target)) return {};
    const std::optional<Destination> to = map_.destination(step.instruction, step.address);
    if (!to) return cannot_follow(fmt::format("it goes on through a pointer, at {:#x}", step.address));
    if (is_counted_(*to)) return cannot_follow(fmt::format("it goes on in a counted function, at {:#x}", step.address));
    if (to->address == 0)
      return cannot_follow(fmt::format("it goes on in {} of another file, at {:#x}", to->name, step.address));
    const std::optional<CodeRange> range = map_.range_at(to->address);
    if (!range) return cannot_follow(fmt::format("no call frame information tells of the code at {:#x}", to->address));
    waiting_.push_back(*range);
    return {};
  }

  const CodeMap& map_;
  const IsCounted& is_counted_;
  std::vector<CodeRange> waiting_;
  std::set<std::uint64_t> seen_;
  std::vector<FunctionExit> exits_;
};

/// Whether the branch at `index` depends on whether the function's first argument is null: it follows `test %rdi,%rdi`,
/// with which the function begins.
bool tests_first_argument(const RangeCode& code, std::size_t index) {
  const std::size_t first = code.steps[0].instruction.is(ZYDIS_MNEMONIC_ENDBR64) ? 1 : 0;
  if (index != first + 1) return false;
  const Instruction& test = code.steps[first].instruction;
  const auto operands = test.operands();
  return test.is(ZYDIS_MNEMONIC_TEST) && operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
         operands[0].reg.value == ZYDIS_REGISTER_RDI && operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
         operands[1].reg.value == ZYDIS_REGISTER_RDI;
}

}  // namespace

Result<std::vector<FunctionExit>> find_exits(std::uint64_t entry, const CodeMap& map, const IsCounted& is_counted) {
  return ExitSearch(map, is_counted).run(entry);
}

bool always_calls_counted(std::uint64_t entry, const CodeMap& map, const IsCounted& is_counted, bool is_free) {
  const std::optional<CodeRange> range = map.range_at(entry);
  if (!range || range->start != entry) return false;
  const Result<RangeCode> code = decode_range(map, *range);
  if (!code) return false;
  const auto counts = [&](const Step& step) {
    const std::optional<Destination> to = map.destination(step.instruction, step.address);
    return to && is_counted(*to);
  };
  bool has_met_one = false;
  std::set<std::size_t> seen;
  std::vector<std::size_t> waiting{0};
  while (!waiting.empty()) {
    const std::size_t index = waiting.back();
    waiting.pop_back();
    // Behind the last instruction lies nothing: it is a call that does not come back.
    if (index >= code->steps.size() || !seen.insert(index).second) continue;
    const Step& step = code->steps[index];
    const bool stays = (step.flow == Flow::kJump || step.flow == Flow::kBranch) && code->holds(step.target);
    const bool tests_null = is_free && step.flow == Flow::kBranch && tests_first_argument(*code, index);
    if (stays && !(tests_null && step.instruction.is(ZYDIS_MNEMONIC_JZ)))
      waiting.push_back(*code->step_at(step.target));
    if (step.flow == Flow::kReturn) return false;
    if (step.flow == Flow::kStop || (stays && step.flow == Flow::kJump)) continue;
    if (tests_null && step.instruction.is(ZYDIS_MNEMONIC_JNZ)) continue;
    if (!stays && step.flow != Flow::kNext && counts(step)) {
      has_met_one = true;
      if (step.flow != Flow::kBranch) continue;
    } else if (step.flow == Flow::kJump || step.flow == Flow::kIndirectJump) {
      return false;
    }
    // A branch out of the range leads to a part that is rarely run, which ends in an exception.
    waiting.push_back(index + 1);
  }
  return has_met_one;
}

}  // namespace tracer::elf
