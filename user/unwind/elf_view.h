// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tracer::unwind {

/// Bytes of the file and where they are in memory.
struct Piece {
  std::uint64_t offset = 0;
  std::uint64_t address = 0;  ///< ELF vaddr
  std::uint64_t size = 0;
};

/// The program and section headers of an x86-64 ELF file in memory, without a copy. Whatever they claim, a piece lies
/// inside the file: what does not is cut off. Points into the bytes given, which must outlive it.
class ElfView {
 public:
  /// Fails with kCorrupt for what is no ELF file, with kUnsupported for one of another machine.
  static Result<ElfView> of(std::span<const std::byte> file);

  /// Executable segments by ascending offset; none overlaps another in the file.
  const std::vector<Piece>& executable() const { return executable_; }
  /// What PT_GNU_EH_FRAME names.
  const std::optional<Piece>& eh_frame_header() const { return eh_frame_header_; }

  std::span<const std::byte> bytes(const Piece& piece) const { return file_.subspan(piece.offset, piece.size); }
  /// From the address up to the end of its segment; nullopt outside of all segments.
  std::optional<Piece> piece_at(std::uint64_t address) const;

  struct Section {
    Piece piece;
    bool is_compressed = false;
  };
  /// The first section of that name which has bytes.
  std::optional<Section> section(std::string_view name) const;

 private:
  explicit ElfView(std::span<const std::byte> file) : file_(file) {}

  template <typename T>
  T read(std::uint64_t offset) const;
  /// Fails with kCorrupt for more segments than any program has.
  Result<void> read_segments(const Elf64_Ehdr& header);
  void separate_executable();
  std::uint64_t size_inside(std::uint64_t offset, std::uint64_t size) const;

  std::span<const std::byte> file_;
  std::vector<Piece> loaded_;
  std::vector<Piece> executable_;
  std::optional<Piece> eh_frame_header_;
};

}  // namespace tracer::unwind
