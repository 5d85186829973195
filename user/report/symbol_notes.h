// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "heap/snapshot.h"
#include "report/report.h"

namespace tracer::report {

/// What could not be named, one note per module, for the end of a report: why, and what helps. Code `names_missing`,
/// a warning; `lines_missing`, where only files and lines are, is for information.
std::vector<Diagnostic> symbol_notes(const Names& names, const heap::Snapshot& moment);

}  // namespace tracer::report
