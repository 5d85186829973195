// SPDX-License-Identifier: Apache-2.0
#include "unwind/frame_section.h"

#include <libelf.h>

#include <cstring>
#include <memory>

#include "unwind/dwarf_constants.h"

namespace tracer::unwind {
namespace {

// zlib packs no better than 1:1032. A header that claims more is wrong, and no memory is asked for.
constexpr std::uint64_t kBestRatio = 1032;
constexpr std::uint64_t kLargestUnpacked = std::uint64_t{1} << 30;

struct ElfCloser {
  void operator()(Elf* elf) const noexcept { elf_end(elf); }
};

std::uint64_t formatted(Cursor* cursor, std::uint8_t format, bool* known) {
  switch (format) {
    case DW_EH_PE_absptr:
    case DW_EH_PE_udata8:
    case DW_EH_PE_sdata8:
      return cursor->number<std::uint64_t>();
    case DW_EH_PE_uleb128:
      return cursor->uleb();
    case DW_EH_PE_sleb128:
      return static_cast<std::uint64_t>(cursor->sleb());
    case DW_EH_PE_udata2:
      return cursor->number<std::uint16_t>();
    case DW_EH_PE_udata4:
      return cursor->number<std::uint32_t>();
    case DW_EH_PE_sdata2:
      return static_cast<std::uint64_t>(cursor->number<std::int16_t>());
    case DW_EH_PE_sdata4:
      return static_cast<std::uint64_t>(cursor->number<std::int32_t>());
    default:
      *known = false;
      return 0;
  }
}

FrameSection section_of(const ElfView& elf, const Piece& piece) {
  FrameSection section;
  section.bytes = elf.bytes(piece);
  section.address = piece.address;
  if (elf.eh_frame_header()) section.data_base = elf.eh_frame_header()->address;
  return section;
}

/// .eh_frame by the pointer that .eh_frame_hdr begins with.
std::optional<FrameSection> follow_header(const ElfView& elf, const Piece& header_piece) {
  const FrameSection header = section_of(elf, header_piece);
  Cursor cursor(header.bytes);
  const auto version = cursor.number<std::uint8_t>();
  const auto encoding = cursor.number<std::uint8_t>();
  cursor.bytes(2);  // the encodings of what follows the pointer
  const std::optional<std::uint64_t> address = header.pointer(&cursor, encoding);
  if (version != 1 || cursor.failed() || !address) return std::nullopt;
  const std::optional<Piece> piece = elf.piece_at(*address);
  if (!piece) return std::nullopt;
  FrameSection section = section_of(elf, *piece);
  section.ends_at_zero = true;
  return section;
}

/// A file with nothing but that section, so that libelf sees no other byte of a file that may be damaged.
std::vector<std::byte> wrapped(std::span<const std::byte> packed) {
  constexpr std::size_t kContents = sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Shdr);
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_REL;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_shoff = sizeof(header);
  header.e_ehsize = sizeof(header);
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = 2;
  Elf64_Shdr sections[2]{};
  sections[1].sh_type = SHT_PROGBITS;
  sections[1].sh_flags = SHF_COMPRESSED;
  sections[1].sh_offset = kContents;
  sections[1].sh_size = packed.size();
  sections[1].sh_addralign = 8;
  std::vector<std::byte> file(kContents + packed.size());
  std::memcpy(file.data(), &header, sizeof(header));
  std::memcpy(file.data() + sizeof(header), sections, sizeof(sections));
  std::memcpy(file.data() + kContents, packed.data(), packed.size());
  return file;
}

/// Empty when it does not unpack.
std::vector<std::byte> unpack(std::span<const std::byte> packed) {
  Elf64_Chdr claim{};
  if (packed.size() < sizeof(claim)) return {};
  std::memcpy(&claim, packed.data(), sizeof(claim));
  if (claim.ch_size > kLargestUnpacked || claim.ch_size / kBestRatio > packed.size()) return {};
  std::vector<std::byte> file = wrapped(packed);
  elf_version(EV_CURRENT);
  const std::unique_ptr<Elf, ElfCloser> elf(elf_memory(reinterpret_cast<char*>(file.data()), file.size()));
  Elf_Scn* section = elf ? elf_getscn(elf.get(), 1) : nullptr;
  if (section == nullptr || elf_compress(section, 0, 0) < 0) return {};
  const Elf_Data* data = elf_rawdata(section, nullptr);
  if (data == nullptr || data->d_buf == nullptr) return {};
  const auto* first = static_cast<const std::byte*>(data->d_buf);
  return {first, first + data->d_size};
}

}  // namespace

std::optional<std::uint64_t> FrameSection::pointer(Cursor* cursor, std::uint8_t encoding) const {
  const std::uint64_t place = address + static_cast<std::uint64_t>(cursor->position() - bytes.data());
  bool known = (encoding & DW_EH_PE_indirect) == 0;
  const std::uint64_t value = formatted(cursor, encoding & DW_EH_PE_format, &known);
  if (!known || cursor->failed()) return std::nullopt;
  switch (encoding & DW_EH_PE_application) {
    case DW_EH_PE_absptr:
      return value;
    case DW_EH_PE_pcrel:
      return place + value;
    case DW_EH_PE_datarel:
      return data_base ? std::optional(*data_base + value) : std::nullopt;
    default:
      return std::nullopt;
  }
}

std::optional<FrameSection> find_eh_frame(const ElfView& elf) {
  if (const auto section = elf.section(".eh_frame"); section && !section->is_compressed)
    return section_of(elf, section->piece);
  return elf.eh_frame_header() ? follow_header(elf, *elf.eh_frame_header()) : std::nullopt;
}

std::optional<FrameSection> find_debug_frame(const ElfView& elf) {
  const auto found = elf.section(".debug_frame");
  if (!found) return std::nullopt;
  FrameSection section = section_of(elf, found->piece);
  section.is_debug_frame = true;
  if (found->is_compressed) {
    section.unpacked = unpack(section.bytes);
    section.bytes = section.unpacked;
  }
  return section;
}

}  // namespace tracer::unwind
