// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gelf.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace tracer::symbols {

/// What .gnu_debuglink says: the name of a separate debug file and the CRC-32 of its content.
struct DebugLink {
  std::string name;
  std::uint32_t crc = 0;
};

/// Lower-case hexadecimal digits.
std::string to_hex(std::span<const std::uint8_t> bytes);

/// An open ELF file or an ELF image in memory, with libelf's handle on it.
///
/// Everything that libelf and libdw hand out about it lives as long as this object. Moving keeps it valid.
class ElfFile {
 public:
  /// How the content of a file reaches us.
  enum class Access {
    kRead,  ///< sections are copied: the file may be overwritten at any time
    kMap,   ///< sections are paged in on use: for big files that are replaced rather than overwritten
  };

  static Result<ElfFile> open(UniqueFd fd, Access access);
  static Result<ElfFile> from_memory(std::vector<char> image);

  Elf* handle() const { return elf_.get(); }
  int fd() const { return fd_.get(); }

  /// Lower-case hex; empty when the file has none.
  std::string build_id() const;
  std::optional<DebugLink> debug_link() const;
  /// The content of a section as stored in the file, null when there is none. Names are not unique: the first wins.
  Elf_Data* section(const char* name) const;

 private:
  struct End {
    void operator()(Elf* elf) const { elf_end(elf); }
  };
  ElfFile(UniqueFd fd, std::vector<char> image, Elf* elf) : fd_(std::move(fd)), image_(std::move(image)), elf_(elf) {}
  static Result<ElfFile> checked(ElfFile file);

  // The handle reads from what stands before it, and so goes first.
  UniqueFd fd_;
  std::vector<char> image_;
  std::unique_ptr<Elf, End> elf_;
};

}  // namespace tracer::symbols
