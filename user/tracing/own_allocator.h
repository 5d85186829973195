// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "tracing/catalogue.h"

namespace tracer::tracing {

/// Reads what the user says of a function of an allocator of their own:
///
///     [FILE:]NAME(MEANING=N[, MEANING=N…])[->ptr] [noexcept]
///
/// FILE is the name of the file that defines it, or its path; * and ? stand for any characters. N is the number of an
/// argument, 1 to 4; its MEANING is one of size, count (of elements of that size), ptr (the block given), and out
/// (where the new block's address is stored). "->ptr" says that the block is returned; "noexcept" that no exception
/// leaves the function, so that a return probe may be used.
///
///     libpool.so:pool_get(size=1)->ptr          libpool.so:pool_put(ptr=1)
///     pool_grow(ptr=1, size=2)->ptr noexcept    pool_take(out=1, size=2)
///
/// Fails with kUsage and a hint.
Result<Function> parse_allocator(std::string_view text);

/// The same from lines of text; empty ones and what follows a # say nothing. `name` is for messages.
Result<std::vector<Function>> parse_allocators(std::string_view name, std::string_view text);

}  // namespace tracer::tracing
