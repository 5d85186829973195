// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <limits>
#include <map>
#include <tuple>
#include <unordered_map>

#include "heap/loss.h"
#include "report/compress.h"
#include "report/document.h"
#include "report/text.h"
#include "report/wire.h"

namespace tracer::report {
namespace {

// Field numbers of profile.proto.
namespace profile_field {
enum : unsigned {
  kSampleType = 1,
  kSample = 2,
  kMapping = 3,
  kLocation = 4,
  kFunction = 5,
  kString = 6,
  kTime = 9,
  kDuration = 10,
  kPeriodType = 11,
  kPeriod = 12,
  kComment = 13,
  kDefaultSampleType = 14
};
}
namespace type_field {
enum : unsigned { kType = 1, kUnit = 2 };
}
namespace sample_field {
enum : unsigned { kLocations = 1, kValues = 2, kLabel = 3 };
}
namespace label_field {
enum : unsigned { kKey = 1, kText = 2, kNumber = 3 };
}
namespace mapping_field {
enum : unsigned {
  kId = 1,
  kLimit = 3,
  kFile = 5,
  kBuildId = 6,
  kHasFunctions = 7,
  kHasFiles = 8,
  kHasLines = 9,
  kHasInlines = 10
};
}
namespace location_field {
enum : unsigned { kId = 1, kMapping = 2, kAddress = 3, kLine = 4 };
}
namespace line_field {
enum : unsigned { kFunction = 1, kLine = 2 };
}
namespace function_field {
enum : unsigned { kId = 1, kName = 2, kSystemName = 3, kFile = 4 };
}

/// Builds the message; every table is filled as samples come to need it, with ids from 1 on.
class PprofProfile {
 public:
  explicit PprofProfile(const Profile& profile) : profile_(profile) {
    text("");  // string 0 must be empty
    add_types();
    add_main_mapping();
    for (const Sample& sample : profile.samples()) add_sample(sample);
    add_facts();
  }

  std::string bytes() const { return message_.bytes() + tables_.bytes(); }

 private:
  std::uint64_t text(std::string_view value) {
    const auto [known, is_new] = texts_.try_emplace(valid_utf8(value), texts_.size());
    if (is_new) tables_.text(profile_field::kString, known->first);
    return known->second;
  }

  WireMessage type(const char* name, const char* unit) {
    return WireMessage().number(type_field::kType, text(name)).number(type_field::kUnit, text(unit));
  }

  void add_types() {
    for (const MetricInfo& info : kMetrics) message_.message(profile_field::kSampleType, type(info.name, info.unit));
  }

  /// The program comes first, by convention.
  void add_main_mapping() {
    if (profile_.exe.empty()) return;
    for (const Sample& sample : profile_.samples()) {
      for (const NamedFrame& frame : profile_.frames_of(sample)) {
        const heap::ModuleId module = frame.frame.module;
        if (module == heap::kNoModule || profile_.names().module_path(module) != profile_.exe) continue;
        mapping(module);
        return;
      }
    }
  }

  void add_sample(const Sample& sample) {
    std::vector<std::uint64_t> locations;
    for (const NamedFrame& frame : profile_.frames_of(sample)) locations.push_back(location(frame));
    std::array<std::uint64_t, kMetrics.size()> values;
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = value_of(sample.totals, kMetrics[i].metric);
    WireMessage message;
    message.numbers(sample_field::kLocations, locations).numbers(sample_field::kValues, values);
    if (sample.process != nullptr) add_labels(message, *sample.process);
    message_.message(profile_field::kSample, message);
  }

  void add_labels(WireMessage& sample, const heap::ProcessSnapshot& process) {
    sample.message(sample_field::kLabel, WireMessage()
                                             .number(label_field::kKey, text("pid"))
                                             .number(label_field::kNumber, static_cast<std::uint64_t>(process.pid)));
    add_label(sample, "comm", process.comm);
    if (!process.container.empty()) add_label(sample, "container_id", process.container);
  }

  void add_label(WireMessage& sample, const char* key, const std::string& value) {
    sample.message(sample_field::kLabel,
                   WireMessage().number(label_field::kKey, text(key)).number(label_field::kText, text(value)));
  }

  /// Addresses are as the file's symbol table counts, and the mapping says so by showing the whole file at 0: then one
  /// profile can hold processes that have it elsewhere.
  std::uint64_t mapping(heap::ModuleId module) {
    if (module == heap::kNoModule) return 0;
    const auto [known, is_new] = mappings_.try_emplace(module, mappings_.size() + 1);
    if (is_new) {
      const std::uint64_t path = text(profile_.names().module_path(module));
      const std::uint64_t build_id = text(profile_.names().module_build_id(module));
      tables_.message(profile_field::kMapping,
                      WireMessage()
                          .number(mapping_field::kId, known->second)
                          .number(mapping_field::kLimit, std::numeric_limits<std::uint64_t>::max())
                          .number(mapping_field::kFile, path)
                          .number(mapping_field::kBuildId, build_id)
                          .number(mapping_field::kHasFunctions, 1)
                          .number(mapping_field::kHasFiles, 1)
                          .number(mapping_field::kHasLines, 1)
                          .number(mapping_field::kHasInlines, 1));
    }
    return known->second;
  }

  std::uint64_t location(const NamedFrame& frame) {
    // Names belong to the key: samples without a stack have no address.
    const std::tuple key(frame.frame.module, frame.address(), frame.sources->front().function);
    const auto [known, is_new] = locations_.try_emplace(key, locations_.size() + 1);
    if (!is_new) return known->second;
    WireMessage message;
    message.number(location_field::kId, known->second)
        .number(location_field::kMapping, mapping(frame.frame.module))
        .number(location_field::kAddress, frame.address());
    for (const symbols::SourceFrame& source : *frame.sources) {
      message.message(
          location_field::kLine,
          WireMessage().number(line_field::kFunction, function(source)).number(line_field::kLine, source.line));
    }
    tables_.message(profile_field::kLocation, message);
    return known->second;
  }

  std::uint64_t function(const symbols::SourceFrame& source) {
    const std::string& system_name = source.mangled.empty() ? source.function : source.mangled;
    const std::tuple key(text(source.function), text(system_name), text(source.file));
    const auto [known, is_new] = functions_.try_emplace(key, functions_.size() + 1);
    if (is_new) {
      tables_.message(profile_field::kFunction, WireMessage()
                                                    .number(function_field::kId, known->second)
                                                    .number(function_field::kName, std::get<0>(key))
                                                    .number(function_field::kSystemName, std::get<1>(key))
                                                    .number(function_field::kFile, std::get<2>(key)));
    }
    return known->second;
  }

  void add_facts() {
    const heap::Snapshot& snapshot = profile_.snapshot();
    const std::uint64_t sample_bytes = profile_.run().sample_bytes;
    message_.number(profile_field::kTime, snapshot.unix_us * 1000)
        .number(profile_field::kDuration, snapshot.t_ns)
        .message(profile_field::kPeriodType, type("space", "bytes"))
        .number(profile_field::kPeriod, sample_bytes == 0 ? 1 : sample_bytes)
        .number(profile_field::kComment, text("tracer " TRACER_VERSION ": " + profile_.command));
    if (!snapshot.complete())
      message_.number(profile_field::kComment,
                      text(fmt::format("INCOMPLETE: {} events lost", heap::total(snapshot.losses))));
    message_.number(profile_field::kDefaultSampleType, text("inuse_space"));
  }

  const Profile& profile_;
  WireMessage message_;
  WireMessage tables_;  ///< what messages refer to by number; may stand behind them
  std::unordered_map<std::string, std::uint64_t> texts_;
  std::map<heap::ModuleId, std::uint64_t> mappings_;
  std::map<std::tuple<heap::ModuleId, std::uint64_t, std::string>, std::uint64_t> locations_;
  std::map<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>, std::uint64_t> functions_;
};

}  // namespace

Result<void> write_pprof(const Profile& profile, const FormatOptions&, Output& output) {
  const std::unique_ptr<CompressedOutput> packed = make_gzip_output(output);
  if (Result<void> done = packed->write(PprofProfile(profile).bytes()); !done) return done;
  return packed->finish();
}

}  // namespace tracer::report
