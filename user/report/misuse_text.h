// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "heap/snapshot.h"
#include "report/site_text.h"
#include "report/table_text.h"

namespace tracer::report {

/// `snake_case` names, as records have them.
const char* anomaly_name(heap::Anomaly::Type type);
/// "malloc", "new", "new[]"; "any" where functions of several kinds share an address.
const char* kind_name(heap::BlockKind kind);

/// Misuses of all processes, with the stacks that tell where; nothing where there are none.
void add_misuses(TableText& text, SiteText& sites, const heap::Snapshot& snapshot);

}  // namespace tracer::report
