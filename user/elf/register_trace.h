// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "elf/function_exits.h"
#include "elf/range_code.h"

namespace tracer::elf {

/// Where a probe sees calls leave by the return instruction at `index`, each call once.
///
/// The kernel single-steps a return instruction, which is 30 times dearer on a virtual machine than a jump. So the code
/// is followed backwards from it to the jumps that come last on each way there, as long as the result stands in one
/// register and the depth of the stack is known. Where a way has no such jump, the return instruction itself is the
/// only exit.
std::vector<FunctionExit> exits_before_return(const RangeCode& code, std::size_t index);

}  // namespace tracer::elf
