// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "heap/snapshot.h"
#include "proc/process_filter.h"
#include "report/json_record.h"

namespace tracer::report {

/// "filters" of a header: a member for each kind that was given.
void add_filters(JsonRecord& record, const proc::ProcessFilter& filter);

/// The members of a `machine` record that no other record has.
void add_machine(JsonRecord& record, const heap::MachineTotals& machine);

}  // namespace tracer::report
