// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "base/result.h"

struct Elf;

namespace tracer::elf {

/// Sizes of functions by address and name; 0 where no table says.
using FunctionSizes = std::map<std::pair<std::uint64_t, std::string_view>, std::uint64_t>;

/// The functions of an open file whose names are among `wanted` (which the result refers to) and whose addresses are
/// `is_code`: of .dynsym, of .symtab, and where this one was stripped away of the packed one in .gnu_debugdata
/// ("MiniDebugInfo"). `file_size` bounds what the headers may claim. Fails with kCorrupt when a table or its names are
/// not in the file; a packed one that does not unpack has nothing to say.
Result<FunctionSizes> read_function_sizes(Elf* elf, std::uint64_t file_size, const std::set<std::string_view>& wanted,
                                          const std::function<bool(std::uint64_t)>& is_code);

}  // namespace tracer::elf
