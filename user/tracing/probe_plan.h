// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "elf/elf_image.h"
#include "elf/function_exits.h"
#include "tracing/catalogue.h"

namespace tracer::tracing {

/// One probe to be: a function of the catalogue at its site in a file. Names that share an address share a probe.
struct PlannedProbe {
  /// Where calls end that cannot have a return probe.
  struct Exit {
    std::uint64_t file_offset = 0;
    elf::FunctionExit exit;

    std::uint64_t cookie() const;
  };

  const Function* function = nullptr;
  std::vector<std::string> names;  ///< all catalogue names at that address ("memalign", "aligned_alloc")
  std::uint64_t address = 0;       ///< ELF vaddr of the function's entry
  std::uint64_t file_offset = 0;   ///< of the site
  std::uint32_t site_offset = 0;   ///< from the entry
  bool emulated = false;
  std::vector<Exit> exits;
  bool is_mark = false;      ///< tells only which operator calls a counted function
  tr_kind kind = TR_KIND_C;  ///< of all its names: TR_KIND_ANY when they differ

  std::uint64_t cookie() const {
    return (is_mark ? function->mark_cookie() : function->cookie()) | TR_COOKIE_OF_KIND(kind);
  }
  bool needs_return() const { return !is_mark && function->needs_return(); }
};

/// A function that gets no probe, and why.
struct LeftOut {
  std::string name;
  std::uint64_t address = 0;
  std::string reason;
  bool is_counted = false;  ///< its calls are counted all the same, in the function that it calls
  bool is_own = false;      ///< the user has named it
};

/// What is to be done with a file.
struct ProbePlan {
  std::vector<PlannedProbe> probes;
  std::vector<LeftOut> left_out;

  bool empty() const { return probes.empty(); }
  bool has_allocator() const;
};

/// What to probe in a file; empty when it defines nothing of the catalogue, which has to outlive the plan. Reads the
/// functions' code through `file`; `path` is for messages, and to know the files that the user has named.
ProbePlan plan_probes(const elf::ElfImage& image, const UniqueFd& file, const std::string& path,
                      const Catalogue& catalogue);

}  // namespace tracer::tracing
