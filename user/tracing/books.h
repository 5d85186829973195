// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernel/bpf_object.h"

namespace tracer::tracing {

/// What user space writes into the kernel half's books while programs run: time, in two forms.

/// Ends the current generation of blocks (see tr_young): called every older/4.
void advance_generation(kernel::BpfObject& object);

/// Recording goes on after an interruption: whatever is live in the books may have been freed unseen. Notes per stack
/// how much that is; the kernel half counts it down as such blocks are freed, or turn out to have been. To be called
/// while nothing records.
void end_pause(kernel::BpfObject& object);

}  // namespace tracer::tracing
