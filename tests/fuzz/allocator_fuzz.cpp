// SPDX-License-Identifier: Apache-2.0
// Reads any text as a description of the user's own allocator and checks what must hold of every one that parses.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "tracing/own_allocator.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using tracer::tracing::Function;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const tracer::Result<std::vector<Function>> functions = tracer::tracing::parse_allocators("fuzz", text);
  if (!functions) return functions.error().message().empty() ? (std::abort(), 0) : 0;
  for (const Function& function : *functions) {
    const bool is_sound = !function.name.empty() && function.is_allocator() && function.size_arg <= 4 &&
                          function.count_arg <= 4 && function.pointer_arg <= 4 &&
                          (function.size_arg != 0) == function.needs_result();
    if (!is_sound) std::abort();
  }
  // Whatever the name of the file is, looking it up comes to an end.
  const tracer::tracing::Catalogue catalogue(tracer::tracing::FamilySet(), *functions);
  (void)catalogue.find(functions->empty() ? "" : functions->front().name, "/usr/lib/libpool.so.1");
  return 0;
}
