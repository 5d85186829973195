// SPDX-License-Identifier: Apache-2.0
#include "tracing/catalogue.h"

#include <algorithm>
#include <array>

namespace tracer::tracing {
namespace {

// Sources: malloc(3), posix_memalign(3), reallocarray(3), cfree(3); for _dl_debug_state the
// run-time linker interface that <link.h> describes (r_brk).
constexpr std::array kCatalogue{
    Function{"malloc", TR_CALL_ALLOC, 1, 0, 0},
    Function{"calloc", TR_CALL_ALLOC, 2, 1, 0},
    Function{"realloc", TR_CALL_REALLOC, 2, 0, 1},
    Function{"reallocarray", TR_CALL_REALLOC, 3, 2, 1},
    Function{"free", TR_CALL_FREE, 0, 0, 1},
    Function{"cfree", TR_CALL_FREE, 0, 0, 1},
    Function{"posix_memalign", TR_CALL_ALLOC_OUT, 3, 0, 1},
    Function{"aligned_alloc", TR_CALL_ALLOC, 2, 0, 0},
    Function{"memalign", TR_CALL_ALLOC, 2, 0, 0},
    Function{"valloc", TR_CALL_ALLOC, 1, 0, 0},
    Function{"pvalloc", TR_CALL_ALLOC, 1, 0, 0},
    Function{"_dl_debug_state", TR_CALL_LOADER_STATE, 0, 0, 0},
};

}  // namespace

std::span<const Function> catalogue() { return kCatalogue; }

std::vector<std::string_view> wanted_names() {
  std::vector<std::string_view> names{kMainCaller};
  for (const Function& function : kCatalogue) names.push_back(function.name);
  return names;
}

const Function* find_function(std::string_view name) {
  const auto found = std::ranges::find(kCatalogue, name, &Function::name);
  return found == kCatalogue.end() ? nullptr : &*found;
}

}  // namespace tracer::tracing
