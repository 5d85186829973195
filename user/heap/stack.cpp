// SPDX-License-Identifier: Apache-2.0
#include "heap/stack.h"

#include <array>

namespace tracer::heap {
namespace {

struct EndText {
  const char* name;
  const char* reason;
};

constexpr std::array<EndText, kStackEndCount> kEnds{{
    {"complete", "it is whole"},
    {"truncated", "--max-stack"},
    {"bad_frame", "the next frame was built without frame pointers"},
    {"mapping_busy", "another thread was changing the mappings"},
    {"no_table", "the unwind table of this file was not ready yet"},
    {"unsupported_rule", "this function's call frame information cannot be followed"},
    {"read_fault", "the stack could not be read"},
    {"no_code", "the return address is no code"},
    {"jit_code", "generated code without frame pointers"},
    {"not_recorded", "not recorded"},
}};

}  // namespace

const char* stack_end_name(StackEnd end) { return kEnds.at(static_cast<std::size_t>(end)).name; }
const char* stack_end_reason(StackEnd end) { return kEnds.at(static_cast<std::size_t>(end)).reason; }

}  // namespace tracer::heap
