// SPDX-License-Identifier: Apache-2.0
#include "report/format.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "report/document.h"

namespace tracer::report {
namespace {

template <WriteDocument write>
std::unique_ptr<Writer> make_document(Output& output, Context context, const FormatOptions& options) {
  return make_document_writer(output, std::move(context), options, write);
}

std::unique_ptr<Writer> make_table(Output& output, Context context, const FormatOptions& options) {
  return make_table_writer(output, std::move(context), options.style);
}

std::unique_ptr<Writer> make_ndjson(Output& output, Context context, const FormatOptions&) {
  return make_ndjson_writer(output, std::move(context));
}

const std::vector<Format>& table() {
  static const std::vector<Format> kFormats{
      {"table", {".txt"}, true, false, make_table},
      {"ndjson", {".ndjson", ".jsonl", ".json"}, true, false, make_ndjson},
      {"pprof", {".pb.gz", ".pprof"}, false, true, make_document<write_pprof>},
      {"folded", {".folded", ".collapsed", ".collapsedstack.txt"}, false, false, make_document<write_folded>},
      {"heaptrack", {".zst", ".heaptrack", ".heaptrack.gz"}, false, true, make_document<write_heaptrack>},
      {"speedscope", {".speedscope.json"}, false, false, make_document<write_speedscope>},
      {"dhat", {".dhat.json", ".dhat"}, false, false, make_document<write_dhat>},
  };
  return kFormats;
}

}  // namespace

std::span<const Format> formats() { return table(); }

const Format* format_named(std::string_view name) {
  for (const Format& format : table()) {
    if (name == format.name) return &format;
  }
  return nullptr;
}

const Format* format_of_file(std::string_view path) {
  const Format* found = nullptr;
  std::size_t longest = 0;
  for (const Format& format : table()) {
    for (const std::string_view extension : format.extensions) {
      if (extension.size() <= longest || !path.ends_with(extension)) continue;
      found = &format;
      longest = extension.size();
    }
  }
  return found;
}

std::string format_names() {
  std::vector<std::string_view> names;
  for (const Format& format : table()) names.emplace_back(format.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace tracer::report
