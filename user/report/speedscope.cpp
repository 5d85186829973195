// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <tuple>

#include "report/document.h"
#include "report/json.h"

namespace tracer::report {
namespace {

class SpeedscopeFile {
 public:
  explicit SpeedscopeFile(const Profile& profile) : profile_(profile), json_(buffer_) {
    // Frames come first in the file.
    for (const Sample& sample : profile.samples()) stacks_.push_back(stack_of(sample));
  }

  std::string_view write() {
    json_.StartObject();
    member("$schema", "https://www.speedscope.app/file-format-schema.json");
    json_.Key("shared");
    json_.StartObject();
    json_.Key("frames");
    json_.StartArray();
    for (const Frame& frame : frames_) write_frame(frame);
    json_.EndArray();
    json_.EndObject();
    json_.Key("profiles");
    json_.StartArray();
    // What is held comes first: it is what the viewer opens.
    for (auto info = kMetrics.rbegin(); info != kMetrics.rend(); ++info) write_profile(*info);
    json_.EndArray();
    member("name", profile_.command);
    json_.Key("activeProfileIndex");
    json_.Uint(0);
    member("exporter", "tracer@" TRACER_VERSION);
    json_.EndObject();
    buffer_.Put('\n');
    return json_text(buffer_);
  }

 private:
  using Frame = std::tuple<std::string, std::string, std::uint32_t>;  // name, file, line

  void member(const char* key, std::string_view value) {
    json_.Key(key);
    write_json_text(json_, value);
  }

  std::size_t number_of(Frame frame) {
    const auto [known, is_new] = numbers_.try_emplace(frame, frames_.size());
    if (is_new) frames_.push_back(std::move(frame));
    return known->second;
  }

  std::vector<std::size_t> stack_of(const Sample& sample) {
    std::vector<std::size_t> stack;
    if (const std::string root = profile_.root_of(sample); !root.empty()) stack.push_back(number_of({root, "", 0}));
    for (const symbols::SourceFrame& source : profile_.functions_of(sample))
      stack.push_back(number_of({source.function, source.file, source.line}));
    return stack;
  }

  void write_frame(const Frame& frame) {
    const auto& [name, file, line] = frame;
    json_.StartObject();
    member("name", name);
    if (!file.empty()) member("file", file);
    if (line != 0) {
      json_.Key("line");
      json_.Uint(line);
    }
    json_.EndObject();
  }

  void write_profile(const MetricInfo& info) {
    std::vector<std::size_t> shown;
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < stacks_.size(); ++i) {
      const std::uint64_t value = value_of(profile_.samples()[i].totals, info.metric);
      if (value != 0) shown.push_back(i);
      sum += value;
    }
    json_.StartObject();
    member("type", "sampled");
    member("name", info.name);
    // "count" is no unit of theirs.
    member("unit", std::string_view(info.unit) == "bytes" ? "bytes" : "none");
    json_.Key("startValue");
    json_.Uint(0);
    json_.Key("endValue");
    json_.Uint64(sum);
    json_.Key("samples");
    json_.StartArray();
    for (const std::size_t i : shown) {
      json_.StartArray();
      for (const std::size_t frame : stacks_[i]) json_.Uint64(frame);
      json_.EndArray();
    }
    json_.EndArray();
    json_.Key("weights");
    json_.StartArray();
    for (const std::size_t i : shown) json_.Uint64(value_of(profile_.samples()[i].totals, info.metric));
    json_.EndArray();
    json_.EndObject();
  }

  const Profile& profile_;
  rapidjson::StringBuffer buffer_;
  JsonWriter json_;
  std::vector<Frame> frames_;
  std::map<Frame, std::size_t> numbers_;
  std::vector<std::vector<std::size_t>> stacks_;  ///< outermost frame first, as the samples
};

}  // namespace

Result<void> write_speedscope(const Profile& profile, const FormatOptions&, Output& output) {
  return output.write(SpeedscopeFile(profile).write());
}

}  // namespace tracer::report
