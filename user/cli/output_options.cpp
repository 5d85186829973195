// SPDX-License-Identifier: Apache-2.0
#include "cli/output_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>

#include "cli/values.h"

namespace tracer::cli {
namespace {

using report::Color;
using report::OutputOptions;

/// ".txt for table, .ndjson for ndjson, …"
std::string extensions() {
  std::vector<std::string> each;
  for (const report::Format& format : report::formats())
    each.push_back(fmt::format("{} ({})", format.extensions.front(), format.name));
  return fmt::format("{}", fmt::join(each, ", "));
}

Result<void> read_color(const RawOutput& raw, OutputOptions& options) {
  constexpr std::pair<const char*, Color> kNames[] = {
      {"auto", Color::kAuto}, {"always", Color::kAlways}, {"never", Color::kNever}};
  for (const auto& [name, color] : kNames) {
    if (raw.color != name) continue;
    options.color = color;
    return {};
  }
  return usage(fmt::format("--color '{}': must be auto, always or never", raw.color));
}

Result<void> read_metric(const RawOutput& raw, OutputOptions& options) {
  if (raw.metric.empty()) return {};
  const std::optional<report::Metric> metric = report::metric_named(raw.metric);
  if (!metric)
    return usage(
        fmt::format("--metric '{}': must be inuse_space, inuse_objects, alloc_space or alloc_objects", raw.metric));
  options.metric = *metric;
  return {};
}

Result<void> read_files(const RawOutput& raw, OutputOptions& options) {
  const report::Format* named = report::format_named(raw.format);
  if (!raw.format.empty() && named == nullptr)
    return usage(fmt::format("--format '{}': unknown format", raw.format),
                 fmt::format("the formats are {}", report::format_names()));
  options.specs.clear();
  for (const std::string& path : raw.outputs) {
    if (Result<void> good = report::check_file_name(path); !good) return good;
    // With several files --format is for those whose name says nothing.
    const report::Format* by_name =
        path == "-" || (raw.outputs.size() == 1 && named != nullptr) ? nullptr : report::format_of_file(path);
    const report::Format* format = by_name != nullptr ? by_name : named;
    if (format == nullptr && path != "-")
      return usage(fmt::format("--output '{}': the name does not tell the format", path),
                   fmt::format("end it in {}, or give --format", extensions()));
    options.specs.push_back({path, format});
  }
  if (options.specs.empty()) options.specs.push_back({"-", named});
  return {};
}

}  // namespace

void declare_outputs(CLI::App& app, RawOutput& raw) {
  app.add_option("-o,--output", raw.outputs)->allow_extra_args(false);
  app.add_option("-f,--format", raw.format);
  app.add_option("--metric", raw.metric);
  app.add_option("--color", raw.color);
}

Result<OutputOptions> read_outputs(const RawOutput& raw) {
  OutputOptions options;
  for (auto read : {read_files, read_metric, read_color}) {
    if (Result<void> done = read(raw, options); !done) return std::move(done).error();
  }
  return options;
}

}  // namespace tracer::cli
