// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "heap/snapshot.h"

namespace tracer::report {

/// What the history of a site says, in parts of one line: "growing 12.3 KiB/s ±8%", "freed 99% after 12 ms",
/// "30% of its peak of 1.0 MiB". Empty for a site that was observed too briefly.
std::vector<std::string> verdict_parts(const heap::SiteTotals& site, bool estimated);

}  // namespace tracer::report
