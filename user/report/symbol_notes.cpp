// SPDX-License-Identifier: Apache-2.0
#include "report/symbol_notes.h"

#include <fmt/format.h>

namespace tracer::report {

std::vector<Diagnostic> symbol_notes(const Names& names, const heap::Snapshot& moment) {
  std::vector<Diagnostic> notes;
  for (const symbols::Lack& lack : names.lacks()) {
    Diagnostic& note = notes.emplace_back();
    note.t_ns = moment.t_ns;
    note.unix_us = moment.unix_us;
    note.severity = lack.nameless > 0 ? "warning" : "info";
    note.code = lack.nameless > 0 ? "names_missing" : "lines_missing";
    note.message =
        lack.nameless > 0
            ? fmt::format("{}: {} without a name: {}", lack.path,
                          lack.nameless == 1 ? "1 address" : fmt::format("{} addresses", lack.nameless), lack.why)
            : fmt::format("{}: no files and lines: {}", lack.path, lack.why);
    note.hint = lack.hint;
  }
  return notes;
}

}  // namespace tracer::report
