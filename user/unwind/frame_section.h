// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "unwind/cursor.h"
#include "unwind/elf_view.h"

namespace tracer::unwind {

/// A sequence of call frame information entries. Moves, does not copy; points into the file, or into its own memory.
struct FrameSection {
  FrameSection() = default;
  FrameSection(FrameSection&&) = default;
  FrameSection& operator=(FrameSection&&) = default;

  std::span<const std::byte> bytes;
  std::uint64_t address = 0;               ///< of the first byte
  std::optional<std::uint64_t> data_base;  ///< what "relative to the data" means: the address of .eh_frame_hdr
  bool is_debug_frame = false;
  bool ends_at_zero = false;  ///< the size is not known: a zero length ends it
  std::vector<std::byte> unpacked;

  /// A pointer in one of the encodings DW_EH_PE_*; nullopt for one that only a running program could tell. The cursor
  /// stands in `bytes`.
  std::optional<std::uint64_t> pointer(Cursor* cursor, std::uint8_t encoding) const;
};

/// Found by its section header, or else by PT_GNU_EH_FRAME.
std::optional<FrameSection> find_eh_frame(const ElfView& elf);
std::optional<FrameSection> find_debug_frame(const ElfView& elf);

}  // namespace tracer::unwind
