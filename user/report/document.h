// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "report/format.h"
#include "report/profile.h"
#include "report/report.h"

namespace tracer::report {

/// Writes a profile as one whole file. Fails only if `output` does.
using WriteDocument = Result<void> (*)(const Profile& profile, const FormatOptions& options, Output& output);

/// https://github.com/google/pprof/blob/main/proto/profile.proto, gzip'ed and with names.
Result<void> write_pprof(const Profile& profile, const FormatOptions& options, Output& output);
/// A line per stack, outermost frame first: "main;leaky;inner 80000". One metric.
Result<void> write_folded(const Profile& profile, const FormatOptions& options, Output& output);
/// The interpreted file of heaptrack, format version 3; packed where the name ends in .zst or .gz, as its readers
/// expect.
Result<void> write_heaptrack(const Profile& profile, const FormatOptions& options, Output& output);
/// https://www.speedscope.app/file-format-schema.json, a profile per metric.
Result<void> write_speedscope(const Profile& profile, const FormatOptions& options, Output& output);
/// What valgrind's dh_view.html and Firefox's profiler read: DHAT, version 2.
Result<void> write_dhat(const Profile& profile, const FormatOptions& options, Output& output);

/// A format that holds one snapshot: the last one, or each where the output keeps each.
std::unique_ptr<Writer> make_document_writer(Output& output, Context context, const FormatOptions& options,
                                             WriteDocument write);

}  // namespace tracer::report
