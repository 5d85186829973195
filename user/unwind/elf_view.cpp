// SPDX-License-Identifier: Apache-2.0
#include "unwind/elf_view.h"

#include <algorithm>
#include <cstring>

namespace tracer::unwind {
namespace {

// Programs have four or five. The limit keeps the work per function bounded whatever a file says.
constexpr std::size_t kMostSegments = 128;

Result<void> check_header(const Elf64_Ehdr& header) {
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return Error(ErrorKind::kCorrupt, "not an ELF file");
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_machine != EM_X86_64)
    return Error(ErrorKind::kUnsupported, "not a file of 64-bit x86", "--call-graph fp needs no unwind tables");
  return {};
}

bool has_text(std::span<const std::byte> names, std::size_t at, std::string_view text) {
  return at < names.size() && names.size() - at > text.size() && names[at + text.size()] == std::byte{0} &&
         std::memcmp(names.data() + at, text.data(), text.size()) == 0;
}

}  // namespace

/// Zeros behind the end of the file.
template <typename T>
T ElfView::read(std::uint64_t offset) const {
  T value{};
  if (offset <= file_.size() && file_.size() - offset >= sizeof(T))
    std::memcpy(&value, file_.data() + offset, sizeof(T));
  return value;
}

Result<ElfView> ElfView::of(std::span<const std::byte> file) {
  ElfView view(file);
  const auto header = view.read<Elf64_Ehdr>(0);
  if (Result<void> good = check_header(header); !good) return std::move(good).error();
  if (Result<void> read = view.read_segments(header); !read) return std::move(read).error();
  return view;
}

std::uint64_t ElfView::size_inside(std::uint64_t offset, std::uint64_t size) const {
  return offset < file_.size() ? std::min<std::uint64_t>(size, file_.size() - offset) : 0;
}

Result<void> ElfView::read_segments(const Elf64_Ehdr& header) {
  if (header.e_phnum != 0 && header.e_phentsize != sizeof(Elf64_Phdr))
    return Error(ErrorKind::kCorrupt, "program headers of an unknown size");
  for (std::size_t i = 0; i < header.e_phnum; ++i) {
    const auto segment = read<Elf64_Phdr>(header.e_phoff + i * sizeof(Elf64_Phdr));
    const Piece piece{segment.p_offset, segment.p_vaddr, size_inside(segment.p_offset, segment.p_filesz)};
    if (piece.size == 0) continue;
    if (segment.p_type == PT_GNU_EH_FRAME) eh_frame_header_ = piece;
    if (segment.p_type != PT_LOAD) continue;
    if (loaded_.size() == kMostSegments) return Error(ErrorKind::kCorrupt, "too many segments");
    loaded_.push_back(piece);
    if ((segment.p_flags & PF_X) != 0) executable_.push_back(piece);
  }
  separate_executable();
  return {};
}

void ElfView::separate_executable() {
  std::ranges::stable_sort(executable_, {}, &Piece::offset);
  std::uint64_t free_from = 0;
  for (Piece& piece : executable_) {
    const std::uint64_t taken =
        std::min(piece.size, free_from > piece.offset ? free_from - piece.offset : std::uint64_t{0});
    piece = {piece.offset + taken, piece.address + taken, piece.size - taken};
    free_from = std::max(free_from, piece.offset + piece.size);
  }
  std::erase_if(executable_, [](const Piece& piece) { return piece.size == 0; });
}

std::optional<Piece> ElfView::piece_at(std::uint64_t address) const {
  for (const Piece& piece : loaded_) {
    const std::uint64_t skipped = address - piece.address;
    if (skipped < piece.size) return Piece{piece.offset + skipped, address, piece.size - skipped};
  }
  return std::nullopt;
}

std::optional<ElfView::Section> ElfView::section(std::string_view name) const {
  const auto header = read<Elf64_Ehdr>(0);
  if (header.e_shoff == 0 || header.e_shentsize != sizeof(Elf64_Shdr)) return std::nullopt;
  const auto section_at = [&](std::size_t i) { return read<Elf64_Shdr>(header.e_shoff + i * sizeof(Elf64_Shdr)); };
  const Elf64_Shdr names = section_at(header.e_shstrndx);
  const Piece all_names{names.sh_offset, 0, size_inside(names.sh_offset, names.sh_size)};
  if (all_names.size == 0) return std::nullopt;
  for (std::size_t i = 0; i < header.e_shnum; ++i) {
    const Elf64_Shdr section = section_at(i);
    if (section.sh_type == SHT_NOBITS || !has_text(bytes(all_names), section.sh_name, name)) continue;
    const Piece piece{section.sh_offset, section.sh_addr, size_inside(section.sh_offset, section.sh_size)};
    if (piece.size != 0) return Section{piece, (section.sh_flags & SHF_COMPRESSED) != 0};
  }
  return std::nullopt;
}

}  // namespace tracer::unwind
