// SPDX-License-Identifier: Apache-2.0
#include "recording/diff_text.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

#include "base/units.h"
#include "report/json_record.h"
#include "report/output.h"
#include "report/table_text.h"
#include "report/text.h"

namespace tracer::recording {
namespace {

constexpr std::array<const char*, 4> kKinds{"new", "grown", "shrunk", "gone"};

std::uint64_t count_of(const Diff& diff, std::string_view kind) {
  return static_cast<std::uint64_t>(
      std::ranges::count_if(diff.changes, [&](const Change& change) { return kind == change.kind(); }));
}

std::string signed_text(std::int64_t value, std::string (*format)(std::uint64_t)) {
  return fmt::format("{}{}", value < 0 ? '-' : '+', format(static_cast<std::uint64_t>(std::abs(value))));
}

std::string counted_blocks(std::uint64_t count) { return report::counted(count, "block"); }

std::size_t shown(const Diff& diff, unsigned top) {
  return top == 0 ? diff.changes.size() : std::min<std::size_t>(top, diff.changes.size());
}

std::string as_table(const Diff& diff, const DiffOptions& options, const report::TableStyle& style) {
  report::TableText text(style);
  const auto growth = static_cast<std::int64_t>(diff.after.bytes - diff.before.bytes);
  text.parts({fmt::format("Live bytes: {}", signed_text(growth, format_bytes)),
              fmt::format("from {}", report::bytes_in_blocks(diff.before.bytes, diff.before.objects)),
              fmt::format("to {}", report::bytes_in_blocks(diff.after.bytes, diff.after.objects))},
             report::Tone::kTitle);
  std::string counts;
  for (const char* kind : kKinds) counts += fmt::format("{} {}, ", format_count(count_of(diff, kind)), kind);
  text.line(fmt::format("Stacks: {}{} unchanged", counts, format_count(diff.unchanged)));
  const std::size_t most = shown(diff, options.top);
  for (std::size_t i = 0; i < most; ++i) {
    const Change& change = diff.changes[i];
    text.line("");
    text.parts({fmt::format("{:>4}. {}", i + 1, signed_text(change.growth_bytes(), format_bytes)),
                signed_text(change.growth_objects(), counted_blocks), change.kind(),
                fmt::format("{} -> {}", report::bytes_in_blocks(change.before.bytes, change.before.objects),
                            report::bytes_in_blocks(change.after.bytes, change.after.objects))},
               report::Tone::kTitle);
    if (change.stack.empty()) text.line("      (unknown stack)", report::Tone::kFaint);
    std::size_t number = 0;
    for (const Step& step : change.stack) {
      symbols::SourceFrame source;
      source.function = step.function;
      source.named = !step.function.starts_with('[');
      text.frame(++number, source, step.module, report::Tone::kPlain);
    }
  }
  if (most < diff.changes.size())
    text.line(fmt::format("({} more: --top 0 shows all)", format_count(diff.changes.size() - most)),
              report::Tone::kFaint);
  return text.take();
}

void add_side(report::JsonRecord& record, const char* name, const std::string& path, const Recording& recording,
              const Live& live) {
  record.begin_object(name).text("path", path).time("ts", recording.run().unix_us);
  record.number("live_bytes", live.bytes).number("live_objects", live.objects).end_object();
}

std::string as_ndjson(const Diff& diff, const DiffOptions& options, const Recording& before, const Recording& after) {
  report::JsonRecord head("diff");
  head.text("schema", "tracer/1").text("version", TRACER_VERSION);
  add_side(head, "before", options.before, before, diff.before);
  add_side(head, "after", options.after, after, diff.after);
  for (const char* kind : kKinds) head.number(kind, count_of(diff, kind));
  head.number("unchanged", diff.unchanged);
  std::string text(head.finish());
  for (std::size_t i = 0; i < shown(diff, options.top); ++i) {
    const Change& change = diff.changes[i];
    report::JsonRecord record("change");
    record.text("change", change.kind())
        .integer("growth_bytes", change.growth_bytes())
        .integer("growth_objects", change.growth_objects())
        .number("before_bytes", change.before.bytes)
        .number("before_objects", change.before.objects)
        .number("after_bytes", change.after.bytes)
        .number("after_objects", change.after.objects)
        .begin_array("frames");
    for (const Step& step : change.stack) {
      record.begin_element().text("func", step.function);
      if (!step.module.empty()) record.text("module", step.module);
      record.end_object();
    }
    text += record.end_array().finish();
  }
  return text;
}

}  // namespace

Result<void> write_diff(const Diff& diff, const DiffOptions& options, const Recording& before, const Recording& after) {
  const report::OutputSpec& spec = options.output.specs.front();
  std::unique_ptr<report::Output> output;
  report::FileOutput* file = nullptr;
  report::TableStyle style;
  if (spec.path == "-") {
    output = report::make_stdout_output();
    style = report::stdout_style(options.output.color);
  } else {
    Result<std::unique_ptr<report::FileOutput>> opened = report::FileOutput::open(spec.path);
    if (!opened) return std::move(opened).error();
    file = opened->get();
    output = std::move(*opened);
  }
  const bool is_ndjson = spec.format != nullptr && std::string_view(spec.format->name) == "ndjson";
  const std::string text = is_ndjson ? as_ndjson(diff, options, before, after) : as_table(diff, options, style);
  Result<void> done = output->write(text);
  return done && file != nullptr ? file->commit() : std::move(done);
}

}  // namespace tracer::recording
