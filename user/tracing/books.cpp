// SPDX-License-Identifier: Apache-2.0
#include "tracing/books.h"

namespace tracer::tracing {
namespace {

template <typename Visit>
void for_each_stack(kernel::BpfObject& object, Visit&& visit) {
  for (heap::StackId id = 1, count = object.stack_count(); id < count; ++id) visit(id);
  for (std::uint32_t space = 1, count = object.space_count(); space < count; ++space) visit(object.no_stack_of(space));
}

}  // namespace

void advance_generation(kernel::BpfObject& object) {
  tr_globals& globals = object.globals();
  const std::uint32_t next = globals.generation + 1;
  // The slot after the next one is in no block's window now and will be in use in a generation's time.
  const std::uint32_t slot = (next + 1) % TR_YOUNG_SLOTS;
  for_each_stack(object, [&](heap::StackId id) {
    tr_young& young = object.young()[id];
    __atomic_store_n(&young.units[slot], 0, __ATOMIC_RELAXED);
    __atomic_store_n(&young.bytes[slot], 0, __ATOMIC_RELAXED);
  });
  __atomic_store_n(&globals.generation, next, __ATOMIC_RELEASE);
}

void end_pause(kernel::BpfObject& object) {
  tr_globals& globals = object.globals();
  __atomic_store_n(&globals.pause, globals.pause + 1, __ATOMIC_RELEASE);
  for_each_stack(object, [&](heap::StackId id) {
    const tr_stack& stack = object.stacks()[id];
    object.unverified()[id] = {stack.alloc_units - stack.free_units, stack.alloc_bytes - stack.free_bytes};
    // Such a block is unverified and nothing else: none may count as young too.
    object.young()[id] = {};
  });
  __atomic_store_n(&globals.generation, globals.generation + TR_YOUNG_WINDOW, __ATOMIC_RELEASE);
}

}  // namespace tracer::tracing
