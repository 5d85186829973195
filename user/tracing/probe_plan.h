// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "library/library.h"
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

/// What to probe in a library that has been inspected; empty when it defines nothing of the catalogue. Reads the
/// functions' code through `library.file()`.
std::vector<PlannedProbe> plan_probes(const library::Library& library);

}  // namespace tracer::tracing
