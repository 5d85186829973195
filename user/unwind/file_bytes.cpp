// SPDX-License-Identifier: Apache-2.0
#include "unwind/file_bytes.h"

#include <elf.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

namespace tracer::unwind {
namespace {

// No file that is mapped executable is larger; the address space for one that claims to be is not asked for.
constexpr std::uint64_t kLargestFile = 1ULL << 36;
constexpr std::string_view kFallback = ".debug_frame";

/// Copies a range of the file to its place, as far as the file goes.
void copy(int fd, std::span<std::byte> memory, std::uint64_t offset, std::uint64_t size) {
  if (offset >= memory.size()) return;
  std::uint64_t left = std::min<std::uint64_t>(size, memory.size() - offset);
  while (left > 0) {
    const ssize_t got = ::pread(fd, memory.data() + offset, left, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    offset += static_cast<std::uint64_t>(got);
    left -= static_cast<std::uint64_t>(got);
  }
}

template <typename Header>
std::vector<Header> headers_at(std::span<const std::byte> memory, std::uint64_t offset, std::size_t count) {
  if (offset > memory.size() || count > (memory.size() - offset) / sizeof(Header)) return {};
  std::vector<Header> headers(count);
  if (count != 0) std::memcpy(headers.data(), memory.data() + offset, count * sizeof(Header));
  return headers;
}

bool is_named(std::span<const std::byte> memory, const Elf64_Shdr& names, std::uint32_t at, std::string_view name) {
  const std::uint64_t start = names.sh_offset + at;
  if (names.sh_offset >= memory.size() || start > memory.size() || memory.size() - start < name.size() + 1)
    return false;
  return std::memcmp(memory.data() + start, name.data(), name.size() + 1) == 0;
}

void copy_sections(int fd, std::span<std::byte> memory, const Elf64_Ehdr& header) {
  copy(fd, memory, header.e_shoff, std::uint64_t{header.e_shnum} * sizeof(Elf64_Shdr));
  const auto sections = headers_at<Elf64_Shdr>(memory, header.e_shoff, header.e_shnum);
  if (header.e_shstrndx >= sections.size()) return;
  const Elf64_Shdr& names = sections[header.e_shstrndx];
  copy(fd, memory, names.sh_offset, names.sh_size);
  for (const Elf64_Shdr& section : sections) {
    if (is_named(memory, names, section.sh_name, kFallback)) copy(fd, memory, section.sh_offset, section.sh_size);
  }
}

}  // namespace

Result<FileBytes> FileBytes::read(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return Error::from_errno(errno, "cannot read a file for its unwind table");
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size < sizeof(Elf64_Ehdr) || size > kLargestFile)
    return Error(ErrorKind::kCorrupt, "not the size of an ELF file");
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return Error::from_errno(errno, "no memory for a file's unwind table");
  FileBytes file(static_cast<std::byte*>(memory), size);

  const std::span<std::byte> bytes(file.memory_, size);
  Elf64_Ehdr header{};
  copy(fd, bytes, 0, sizeof(header));
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_phentsize != sizeof(Elf64_Phdr))
    return Error(ErrorKind::kCorrupt, "not a 64-bit ELF file");
  copy(fd, bytes, header.e_phoff, std::uint64_t{header.e_phnum} * sizeof(Elf64_Phdr));
  for (const Elf64_Phdr& segment : headers_at<Elf64_Phdr>(bytes, header.e_phoff, header.e_phnum)) {
    if (segment.p_type == PT_LOAD) copy(fd, bytes, segment.p_offset, segment.p_filesz);
  }
  if (header.e_shentsize == sizeof(Elf64_Shdr)) copy_sections(fd, bytes, header);
  return file;
}

FileBytes::FileBytes(FileBytes&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)), size_(std::exchange(other.size_, 0)) {}

FileBytes& FileBytes::operator=(FileBytes&& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(size_, other.size_);
  return *this;
}

FileBytes::~FileBytes() {
  if (memory_ != nullptr) ::munmap(memory_, size_);
}

}  // namespace tracer::unwind
