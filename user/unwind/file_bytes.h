// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "base/result.h"

namespace tracer::unwind {

/// The bytes of an ELF file that read_rows() looks at, in memory of our own: a mapping of the file itself would kill us
/// if somebody truncated it. What is not needed (debug information most of all) is zero and takes no memory.
class FileBytes {
 public:
  /// Reads from a descriptor, which stays the caller's. Fails with kCorrupt when the headers make no sense.
  static Result<FileBytes> read(int fd);
  FileBytes(FileBytes&& other) noexcept;
  FileBytes& operator=(FileBytes&& other) noexcept;
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;
  ~FileBytes();

  std::span<const std::byte> bytes() const { return {memory_, size_}; }

 private:
  FileBytes(std::byte* memory, std::size_t size) : memory_(memory), size_(size) {}

  std::byte* memory_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace tracer::unwind
