// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace tracer::heap {

/// A module as stacks name it: an index into the session's module list, dense from 0.
/// Never reused, so that a stack keeps its meaning after the library is gone.
using ModuleId = std::uint32_t;
inline constexpr ModuleId kNoModule = 0xffffffff;

/// Identifies a stack of one process within one run; dense from 1.
using StackId = std::uint32_t;

/// Where a stack walk ended.
enum class StackEnd : std::uint8_t {
  kComplete,     ///< the outermost frame of the thread was reached
  kTruncated,    ///< the depth limit cut it
  kBadFrame,     ///< the next address lies in no executable mapping: code built without frame pointers
  kBusy,         ///< the next address could not be looked up: another thread was changing the mappings
  kNotRecorded,  ///< the stack store was full, or the stack could not be read: counts only
};

/// One return address (or, for the innermost frame, the exact instruction) of a stack.
struct Frame {
  std::uint64_t ip = 0;              ///< address in the process, of code that belongs to no file; else 0
  ModuleId module = kNoModule;       ///< kNoModule: code that belongs to no file (JIT, vdso)
  std::uint64_t module_address = 0;  ///< address as the file's symbol table counts (ELF vaddr); not decremented
  bool exact = false;  ///< true: an instruction's own address; false: a return address, name the caller at -1
};

/// A call stack, innermost frame (the allocator function) first.
struct Stack {
  StackId id = 0;
  std::int32_t pid = 0;
  std::vector<Frame> frames;
  StackEnd end = StackEnd::kComplete;
  bool has_missed_library = false;  ///< a frame lies in a library that had gone before its file could be read
};

}  // namespace tracer::heap
