// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "base/unique_fd.h"
#include "elf/code_map.h"
#include "elf/elf_image.h"

namespace tracer::tracing {

/// The code of an open file: where functions end is what its .eh_frame says. Reads the file when it is first asked.
/// `image` and `file` have to outlive it.
class FileCode : public elf::CodeMap {
 public:
  FileCode(const elf::ElfImage& image, const UniqueFd& file) : image_(image), file_(file) {}

  std::optional<elf::CodeRange> range_at(std::uint64_t address) const override;
  std::vector<std::uint8_t> code_at(std::uint64_t address, std::size_t size_bytes) const override;
  const elf::Import* import_at(std::uint64_t slot) const override;

 private:
  const elf::ElfImage& image_;
  const UniqueFd& file_;
  mutable std::optional<std::vector<elf::CodeRange>> ranges_;  ///< by ascending start
  mutable std::optional<elf::Imports> imports_;
};

}  // namespace tracer::tracing
