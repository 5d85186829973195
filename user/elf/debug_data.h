// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "base/result.h"

namespace tracer::elf {

/// Unpacks an .xz stream, as in the section .gnu_debugdata ("MiniDebugInfo"). Fails with kCorrupt on anything that is
/// not one, is cut short, or unpacks to more than `max_bytes`.
Result<std::vector<char>> decompress_xz(std::span<const char> packed, std::size_t max_bytes);

}  // namespace tracer::elf
