// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "heap/loss.h"

namespace tracer::heap {

/// A module as stacks name it: an index into the session's module list, dense from 0.
/// Never reused, so that a stack keeps its meaning after the library is gone.
using ModuleId = std::uint32_t;
inline constexpr ModuleId kNoModule = 0xffffffff;

/// Identifies a stack of one process within one run; dense from 1.
using StackId = std::uint32_t;

/// Where a stack walk ended, and why there.
enum class StackEnd : std::uint8_t {
  kComplete,         ///< the outermost frame of the thread was reached
  kTruncated,        ///< the depth limit cut it
  kBadFrame,         ///< a frame pointer led nowhere: code without frame pointers, and nothing else to go by
  kBusy,             ///< the next address could not be looked up: another thread was changing the mappings
  kNoTable,          ///< the file's unwind table was not there yet
  kUnsupportedRule,  ///< the file's call frame information says something that cannot be followed
  kReadFault,        ///< stack memory could not be read
  kNoCode,           ///< the return address lies in no executable mapping
  kJitCode,          ///< code that belongs to no file and keeps no frame pointer
  kNotRecorded,      ///< the stack store was full, or the stack could not be read: counts only
};
inline constexpr std::size_t kStackEndCount = 10;

/// `snake_case` name used in every report.
const char* stack_end_name(StackEnd end);
/// What a person is told about it: "the stack ends here: …" goes on like this.
const char* stack_end_reason(StackEnd end);

/// One return address (or, for the innermost frame, the exact instruction) of a stack.
struct Frame {
  std::uint64_t ip = 0;              ///< address in the process, of code that belongs to no file; else 0
  ModuleId module = kNoModule;       ///< kNoModule: code that belongs to no file (JIT, vdso)
  std::uint64_t module_address = 0;  ///< address as the file's symbol table counts (ELF vaddr); not decremented
  bool exact = false;  ///< true: an instruction's own address; false: a return address, name the caller at -1
  bool by_frame_pointer = false;  ///< found where nothing but a frame pointer was left to follow
  std::int32_t pid = 0;           ///< of code that belongs to no file: of which process it is; else 0
};

/// A call stack, innermost frame (the allocator function) first.
struct Stack {
  StackId id = 0;
  std::int32_t pid = 0;
  std::vector<Frame> frames;
  StackEnd end = StackEnd::kComplete;
  std::optional<Loss> loss;  ///< why its frames say less than there was to say
};

}  // namespace tracer::heap
