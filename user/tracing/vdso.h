// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"

namespace tracer::tracing {

/// The vdso, code that the kernel maps into every process, as an ELF file: a copy of the tracer's own, which is the
/// same for all 64-bit processes. Fails with kUnsupported where there is none.
Result<UniqueFd> copy_vdso();

}  // namespace tracer::tracing
