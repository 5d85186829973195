// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "bpf/abi/types.h"

namespace tracer::tracing {

/// A function that gets a probe wherever a mapped file defines it. A new allocator is a row in catalogue.cpp.
struct Function {
  std::string_view name;
  tr_call call;
  std::uint8_t size_arg;   ///< which argument is the size, from 1; 0 for none
  std::uint8_t count_arg;  ///< … the number of elements of that size
  std::uint8_t
      pointer_arg;  ///< … the block given (realloc, free), or where the new block's address is stored (posix_memalign)

  std::uint64_t cookie() const { return TR_COOKIE(call, size_arg, count_arg, pointer_arg); }
  bool is_heap() const { return call <= TR_CALL_FREE; }
  /// Whether its result is needed. Only functions that no exception can leave may have it: a return probe replaces the
  /// return address on the stack, and an exception that passes such a frame ends in std::terminate.
  bool needs_return() const { return call == TR_CALL_ALLOC || call == TR_CALL_ALLOC_OUT || call == TR_CALL_REALLOC; }
};

std::span<const Function> catalogue();

/// The names to read from symbol tables: those of the catalogue, and kMainCaller.
std::vector<std::string_view> wanted_names();

/// The function of libc that calls main, itself or through a local function just before it (glibc 2.34 and later):
/// where the main thread's stack ends.
inline constexpr std::string_view kMainCaller = "__libc_start_main";

const Function* find_function(std::string_view name);

}  // namespace tracer::tracing
