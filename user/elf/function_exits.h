// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "elf/code_map.h"

namespace tracer::elf {

/// A place that a call passes on its way out, once, with its result known: a return instruction, or a jump in front of
/// it that the kernel emulates.
struct FunctionExit {
  std::uint64_t address = 0;              ///< ELF vaddr
  std::uint8_t result_register = 0;       ///< as instructions number them: rax is 0, r8 is 8
  std::optional<std::uint8_t> condition;  ///< only when this holds of the flags (as in the opcodes of jumps: e is 4)
  std::uint16_t stack_bytes = 0;          ///< between the stack pointer there and at the function's entry
  bool emulated = false;

  bool operator==(const FunctionExit&) const = default;
};

/// Every exit of the function at `entry`, those of functions included that it ends with a jump to; sorted by address.
///
/// For functions that an exception can leave: a return probe changes the return address on the stack, and a program
/// whose exceptions pass such a frame is aborted. What leaves by an exception passes none of the exits.
///
/// Fails with kUnsupported, and says where, when the code cannot be followed with certainty: without call frame
/// information to tell functions' ends, at bytes that are no instruction, at jumps through pointers, at jumps into
/// another file or into a function that is counted itself.
Result<std::vector<FunctionExit>> find_exits(std::uint64_t entry, const CodeMap& map, const IsCounted& is_counted);

/// Whether every call of the function calls a counted one, or jumps to it: counting both would count nothing more.
/// Calls with a null pointer as first argument may do without if `is_free`. Looks at the function itself only. False
/// when in doubt.
bool always_calls_counted(std::uint64_t entry, const CodeMap& map, const IsCounted& is_counted, bool is_free);

}  // namespace tracer::elf
