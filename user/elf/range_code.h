// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "base/result.h"
#include "elf/code_map.h"

namespace tracer::elf {

/// How an instruction leaves: to the next one, elsewhere, or both.
enum class Flow : std::uint8_t { kNext, kCall, kBranch, kJump, kIndirectJump, kReturn, kStop };

/// An instruction of a range, reduced to what following the code needs.
struct Step {
  std::uint64_t address = 0;
  Instruction instruction;
  Flow flow = Flow::kNext;
  std::uint64_t target = 0;  ///< of a direct jump or branch
  bool emulated = false;
};

/// All instructions of a range in order, and who jumps to them from inside of it.
struct RangeCode {
  CodeRange range;
  std::vector<Step> steps;
  std::multimap<std::uint64_t, std::size_t> jumps_to;  ///< address → the step that jumps there

  bool holds(std::uint64_t address) const { return address >= range.start && address < range.end; }
  /// The step at the address; nullopt when no instruction begins there.
  std::optional<std::size_t> step_at(std::uint64_t address) const;
};

/// Decodes a range from its beginning to its end. Fails with kUnsupported when that is not possible: bytes that are no
/// instruction, a range that is larger than any allocator's function, a jump into the middle of an instruction.
Result<RangeCode> decode_range(const CodeMap& map, const CodeRange& range);

}  // namespace tracer::elf
