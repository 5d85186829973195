// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "elf/elf_image.h"
#include "tracing/catalogue.h"

namespace tracer::tracing {

/// One probe to be: a function of the catalogue at its site in a file. Names that share an address share a probe.
struct PlannedProbe {
  const Function* function = nullptr;
  std::vector<std::string> names;  ///< all catalogue names at that address ("memalign", "aligned_alloc")
  std::uint64_t address = 0;       ///< ELF vaddr of the function's entry
  std::uint64_t file_offset = 0;   ///< of the site
  std::uint32_t site_offset = 0;   ///< from the entry
  bool emulated = false;
};

/// What to probe in a file; empty when it defines nothing of the catalogue. Reads the functions' code through `file`;
/// `path` is for messages.
std::vector<PlannedProbe> plan_probes(const elf::ElfImage& image, const UniqueFd& file, const std::string& path);

}  // namespace tracer::tracing
