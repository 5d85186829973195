// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tracer::unwind {

using Bytes = std::vector<std::byte>;

/// Puts bytes one after the other.
class ByteWriter {
 public:
  template <typename T>
  ByteWriter& number(T value) {
    const auto* first = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), first, first + sizeof(value));
    return *this;
  }
  ByteWriter& add(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  ByteWriter& add(std::initializer_list<int> bytes) {
    for (const int byte : bytes) bytes_.push_back(static_cast<std::byte>(byte));
    return *this;
  }
  ByteWriter& text(const std::string& text) {
    for (const char letter : text) bytes_.push_back(static_cast<std::byte>(letter));
    return add({0});
  }
  std::size_t size() const { return bytes_.size(); }
  const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

/// An ELF file of one page of code and one section of call frame information.
///
/// The code is at file offset 0x1000 and address 0x401000, the information at 0x2000 and 0x402000 (behind .eh_frame_hdr
/// if it is found by that). The headers in bytes() may be changed afterwards.
class MadeImage {
 public:
  static constexpr std::uint64_t kCodeOffset = 0x1000;
  static constexpr std::uint64_t kCodeSize = 0x1000;
  static constexpr std::uint64_t kBase = 0x400000;  ///< address of the file's first byte
  static constexpr std::uint64_t kCode = kBase + kCodeOffset;
  static constexpr std::uint64_t kFrames = kBase + kCodeOffset + kCodeSize;
  enum class Found { kBySection, kByHeader, kAsDebugFrame, kAsPackedDebugFrame };

  Found found = Found::kBySection;
  Bytes code = Bytes(kCodeSize, std::byte{0x90});
  Bytes frames;

  Bytes bytes() const {
    Bytes out(kCodeOffset);
    append(&out, std::span(code).first(kCodeSize));
    const std::size_t header_at = out.size();
    if (found == Found::kByHeader) append(&out, header());
    const std::size_t frames_at = out.size();
    append(&out, frames);
    const std::size_t end = out.size();
    add_segments(&out, header_at, frames_at, end);
    if (found != Found::kByHeader) add_sections(&out, frames_at, end);
    return out;
  }

 private:
  static void append(Bytes* out, std::span<const std::byte> bytes) {
    out->insert(out->end(), bytes.begin(), bytes.end());
  }

  template <typename T>
  static void put(Bytes* out, std::size_t at, const T& value) {
    std::memcpy(out->data() + at, &value, sizeof(value));
  }

  /// Version 1; the pointer is relative to its place and points to what follows; no search table.
  static Bytes header() { return ByteWriter().add({1, 0x1b, 0xff, 0xff}).number<std::int32_t>(4).bytes(); }

  void add_segments(Bytes* out, std::size_t header_at, std::size_t frames_at, std::size_t end) const {
    Elf64_Ehdr elf{};
    std::memcpy(elf.e_ident, ELFMAG, SELFMAG);
    elf.e_ident[EI_CLASS] = ELFCLASS64;
    elf.e_ident[EI_DATA] = ELFDATA2LSB;
    elf.e_machine = EM_X86_64;
    elf.e_phoff = sizeof(elf);
    elf.e_phentsize = sizeof(Elf64_Phdr);
    elf.e_phnum = 3;
    put(out, 0, elf);
    const bool has_header = found == Found::kByHeader;
    const Elf64_Phdr segments[]{
        {PT_LOAD, PF_R | PF_X, kCodeOffset, kCode, kCode, kCodeSize, kCodeSize, 0x1000},
        {PT_LOAD, PF_R, header_at, kBase + header_at, 0, end - header_at, end - header_at, 0x1000},
        {has_header ? Elf64_Word{PT_GNU_EH_FRAME} : Elf64_Word{PT_NULL}, PF_R, header_at, kBase + header_at, 0,
         frames_at - header_at, frames_at - header_at, 4},
    };
    put(out, sizeof(elf), segments);
  }

  void add_sections(Bytes* out, std::size_t frames_at, std::size_t end) const {
    const Bytes names = ByteWriter().text("").text(".eh_frame").text(".debug_frame").bytes();
    const bool is_debug_frame = found != Found::kBySection;
    Elf64_Shdr sections[3]{};
    sections[1].sh_name = is_debug_frame ? 11 : 1;
    sections[1].sh_type = SHT_PROGBITS;
    sections[1].sh_flags = found == Found::kAsPackedDebugFrame ? Elf64_Xword{SHF_COMPRESSED} : Elf64_Xword{0};
    sections[1].sh_addr = is_debug_frame ? 0 : kBase + frames_at;
    sections[1].sh_offset = frames_at;
    sections[1].sh_size = end - frames_at;
    sections[2].sh_type = SHT_STRTAB;
    sections[2].sh_offset = end;
    sections[2].sh_size = names.size();
    append(out, names);
    Elf64_Ehdr elf;
    std::memcpy(&elf, out->data(), sizeof(elf));
    elf.e_shoff = out->size();
    elf.e_shentsize = sizeof(Elf64_Shdr);
    elf.e_shnum = 3;
    elf.e_shstrndx = 2;
    put(out, 0, elf);
    append(out, std::as_bytes(std::span(sections)));
  }
};

}  // namespace tracer::unwind
