// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "unwind/frame_program.h"
#include "unwind/frame_section.h"

namespace tracer::unwind {

/// Walks over the entries of a section, one function's after the other in the order of the section. Entries that make
/// no sense, or need what only a running program has, are passed over; it always comes to the end.
class FrameEntries {
 public:
  FrameEntries(const FrameSection& section, FrameProgram* program) : section_(section), program_(program) {}

  /// False at the end. `function->common` holds until the next call.
  bool next(FunctionEntry* function);

 private:
  /// An entry without its length: `contents` begins with its id.
  struct Entry {
    Cursor contents;
    std::uint64_t id_at = 0;    ///< in the section
    std::uint64_t next_at = 0;  ///< where the following one begins
    std::uint64_t id = 0;
    bool is_64_bit = false;
    bool is_terminator = false;
  };
  struct CachedCommon {
    std::uint64_t at = ~std::uint64_t{0};
    CommonEntry common;
  };

  bool read_entry(std::uint64_t at, Entry* entry) const;
  bool is_common(const Entry& entry) const;
  bool read_function(Entry entry, FunctionEntry* function);
  const CommonEntry& common_at(std::uint64_t at);
  CommonEntry read_common(std::uint64_t at);
  bool read_augmentation(std::string_view letters, Cursor data, CommonEntry* common) const;

  const FrameSection& section_;
  FrameProgram* program_;
  std::uint64_t at_ = 0;
  std::array<CachedCommon, 32> cache_;
};

}  // namespace tracer::unwind
