// SPDX-License-Identifier: Apache-2.0
#include "cli/report_options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <limits>
#include <string_view>

#include "cli/leak_options.h"
#include "cli/output_options.h"
#include "cli/values.h"

namespace tracer::cli {
namespace {

constexpr const char* kReportForm = "tracer report FILE.ndjson [-o FILE.pb.gz]; see 'tracer --help'";
constexpr const char* kDiffForm = "tracer diff BEFORE.ndjson AFTER.ndjson; see 'tracer --help'";

struct Raw {
  std::vector<std::string> files;
  RawOutput output;
  RawLeaks leaks;
  std::string top, include, exclude;
  bool help = false, quiet = false;
  int verbose = 0;
};

void declare(CLI::App& app, Raw& raw, bool is_report) {
  app.set_help_flag();
  app.add_flag("-h,--help", raw.help);
  app.add_flag("-q,--quiet", raw.quiet);
  app.add_flag("-v,--verbose", raw.verbose);
  app.add_option("-T,--top", raw.top);
  app.add_option("files", raw.files);
  declare_outputs(app, raw.output);
  if (!is_report) return;
  app.add_option("-I,--include", raw.include);
  app.add_option("-X,--exclude", raw.exclude);
  declare_leaks(app, raw.leaks);
}

Result<void> parse_words(int argc, const char* const* argv, Raw& raw, bool is_report) {
  CLI::App app;
  declare(app, raw, is_report);
  try {
    app.parse(argc - 1, argv + 1);
  } catch (const CLI::ParseError& failure) {
    return usage(failure.what(), is_report ? kReportForm : kDiffForm);
  }
  return {};
}

Result<std::optional<unsigned>> read_top(const Raw& raw) {
  if (raw.top.empty()) return std::optional<unsigned>();
  Result<std::uint64_t> top = parse_number("--top", raw.top, 0, 1'000'000);
  if (!top) return std::move(top).error();
  return std::optional(static_cast<unsigned>(*top));
}

bool is_named(const report::OutputSpec& spec, std::string_view name) {
  return spec.format != nullptr && name == spec.format->name;
}

Result<void> read_report(const Raw& raw, report::OutputOptions output, recording::ConvertOptions& report) {
  if (raw.files.size() != 1) return usage("report: give one recording", kReportForm);
  report.path = raw.files.front();
  for (report::OutputSpec& spec : output.specs) {
    if (is_named(spec, "ndjson"))
      return usage("report: the recording is NDJSON already", "choose another format, or copy the file");
    if (spec.format == nullptr) spec.format = report::format_named("table");
  }
  report.output = std::move(output);
  Result<std::optional<unsigned>> top = read_top(raw);
  if (!top) return std::move(top).error();
  report.top = *top;
  for (const auto& [option, pattern] : {std::pair("--include", &raw.include), {"--exclude", &raw.exclude}}) {
    if (Result<void> good = check_regex(option, *pattern); !good) return good;
  }
  report.include = raw.include;
  report.exclude = raw.exclude;
  return {};
}

Result<void> read_diff(const Raw& raw, report::OutputOptions output, recording::DiffOptions& diff) {
  if (raw.files.size() != 2) return usage("diff: give two recordings, the earlier one first", kDiffForm);
  diff.before = raw.files[0];
  diff.after = raw.files[1];
  if (output.specs.size() != 1) return usage("diff: there is one result: give --output once");
  const report::OutputSpec& spec = output.specs.front();
  if (spec.format != nullptr && !is_named(spec, "table") && !is_named(spec, "ndjson"))
    return usage(fmt::format("diff: {} cannot hold a comparison", spec.format->name),
                 "the formats are table and ndjson");
  diff.output = std::move(output);
  Result<std::optional<unsigned>> top = read_top(raw);
  if (!top) return std::move(top).error();
  // A program reads all of it.
  diff.top = top->value_or(is_named(diff.output.specs.front(), "ndjson") ? 0 : diff.top);
  return {};
}

}  // namespace

bool is_about_recordings(int argc, const char* const* argv) {
  if (argc < 2) return false;
  const std::string_view word = argv[1];
  return word == "report" || word == "diff";
}

Result<Options> parse_recording_options(int argc, const char* const* argv) {
  Raw raw;
  const bool is_report = std::string_view(argv[1]) == "report";
  if (Result<void> parsed = parse_words(argc, argv, raw, is_report); !parsed) return std::move(parsed).error();
  Options options;
  options.verbosity = raw.quiet ? 0 : 1 + std::min(raw.verbose, 2);
  options.mode = raw.help ? Options::Mode::kHelp : is_report ? Options::Mode::kReport : Options::Mode::kDiff;
  if (raw.help) return options;
  Result<report::OutputOptions> output = read_outputs(raw.output);
  if (!output) return std::move(output).error();
  Result<void> read = is_report ? read_report(raw, std::move(*output), options.report)
                                : read_diff(raw, std::move(*output), options.diff);
  if (!read) return std::move(read).error();
  Result<Leaks> leaks = read_leaks(raw.leaks);
  if (!leaks) return std::move(leaks).error();
  options.report.suppressions = leaks->suppressions;
  options.leak_exitcode = leaks->exitcode;
  return options;
}

}  // namespace tracer::cli
