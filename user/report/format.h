// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "report/metric.h"
#include "report/report.h"

namespace tracer::report {

/// What a writer has to know of its output beside where it goes.
struct FormatOptions {
  std::string path;  ///< as it was given; "-": standard output
  TableStyle style;
  Metric metric = Metric::kInuseSpace;  ///< for formats that hold one
};

/// A format of reports: a row of the table in format.cpp.
struct Format {
  const char* name;                          ///< of --format
  std::vector<std::string_view> extensions;  ///< of file names, most usual first
  bool is_stream;                            ///< every snapshot one behind the other; else a file holds one snapshot
  bool is_binary;                            ///< nothing for a terminal
  std::unique_ptr<Writer> (*make)(Output& output, Context context, const FormatOptions& options);
};

std::span<const Format> formats();
/// nullptr: there is none of that name.
const Format* format_named(std::string_view name);
/// By the longest extension that fits; nullptr when none does.
const Format* format_of_file(std::string_view path);
/// "table, ndjson, …", for messages.
std::string format_names();

/// Where a report goes.
struct OutputSpec {
  std::string path;                ///< may have place-holders, see file_name.h; "-": standard output
  const Format* format = nullptr;  ///< nullptr, for standard output: table on a terminal, else NDJSON
};

}  // namespace tracer::report
