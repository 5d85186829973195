// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <map>
#include <unordered_map>

#include "report/document.h"
#include "report/json.h"
#include "report/text.h"

namespace tracer::report {
namespace {

/// Names of members and their meaning: dhat/dh_main.c and dh_view.js of valgrind 3.19.
class DhatFile {
 public:
  explicit DhatFile(const Profile& profile) : profile_(profile), json_(buffer_) {
    number_of("[root]");
    for (const Sample& sample : profile.samples()) add(sample);
  }

  std::string_view write() {
    const std::uint64_t end_us = profile_.snapshot().t_ns / 1000;
    json_.StartObject();
    member("dhatFileVersion", 2);
    member("mode", "heap");
    member("verb", "Allocated");
    flag("bklt", true);    // blocks have lifetimes
    flag("bkacc", false);  // but nobody looks at accesses
    member("tu", "µs");
    member("Mtu", "s");
    member("tuth", 500);
    member("cmd", profile_.command);
    member("pid", static_cast<std::uint64_t>(profile_.pid));
    member("te", end_us);
    // When the heap was largest is not known by stack: what stands for that moment is the end.
    member("tg", end_us);
    json_.Key("pps");
    json_.StartArray();
    for (const auto& [frames, totals] : points_) write_point(frames, totals);
    json_.EndArray();
    json_.Key("ftbl");
    json_.StartArray();
    for (const std::string& frame : frames_) write_json_text(json_, frame);
    json_.EndArray();
    json_.EndObject();
    buffer_.Put('\n');
    return json_text(buffer_);
  }

 private:
  using Frames = std::vector<std::size_t>;

  void member(const char* key, std::uint64_t value) {
    json_.Key(key);
    json_.Uint64(value);
  }
  void member(const char* key, std::string_view value) {
    json_.Key(key);
    write_json_text(json_, value);
  }
  void flag(const char* key, bool value) {
    json_.Key(key);
    json_.Bool(value);
  }

  std::size_t number_of(std::string frame) {
    const auto [known, is_new] = numbers_.try_emplace(frame, frames_.size());
    if (is_new) frames_.push_back(std::move(frame));
    return known->second;
  }

  std::string text_of(const NamedFrame& frame, const symbols::SourceFrame& source) const {
    std::string place;
    if (!source.file.empty())
      place = fmt::format(" ({}:{})", base_name(source.file), source.line);
    else if (frame.frame.module != heap::kNoModule)
      place = fmt::format(" (in {})", profile_.names().module_path(frame.frame.module));
    return fmt::format("0x{:X}: {}{}", frame.address(), one_line(source.function), place);
  }

  void add(const Sample& sample) {
    Frames frames;
    for (const NamedFrame& frame : profile_.frames_of(sample)) {
      for (const symbols::SourceFrame& source : *frame.sources) frames.push_back(number_of(text_of(frame, source)));
    }
    if (const std::string root = profile_.root_of(sample); !root.empty())
      frames.push_back(number_of(fmt::format("0x0: {}", root)));
    // A stack may occur once; two programs of one process can have the same.
    const auto [known, is_new] = known_.try_emplace(frames, points_.size());
    if (is_new) points_.emplace_back(std::move(frames), heap::SiteTotals());
    heap::SiteTotals& sum = points_[known->second].second;
    sum.alloc_objects += sample.totals.alloc_objects;
    sum.alloc_bytes += sample.totals.alloc_bytes;
    sum.free_objects += sample.totals.free_objects;
    sum.free_bytes += sample.totals.free_bytes;
  }

  void write_point(const Frames& frames, const heap::SiteTotals& totals) {
    json_.StartObject();
    member("tb", totals.alloc_bytes);
    member("tbk", totals.alloc_objects);
    member("tl", 0);
    // At most, at the largest, at the end: see write().
    for (const char* bytes : {"mb", "gb", "eb"}) member(bytes, totals.live_bytes());
    for (const char* blocks : {"mbk", "gbk", "ebk"}) member(blocks, totals.live_objects());
    json_.Key("fs");
    json_.StartArray();
    for (const std::size_t frame : frames) json_.Uint64(frame);
    json_.EndArray();
    json_.EndObject();
  }

  const Profile& profile_;
  rapidjson::StringBuffer buffer_;
  JsonWriter json_;
  std::vector<std::string> frames_;
  std::unordered_map<std::string, std::size_t> numbers_;
  std::vector<std::pair<Frames, heap::SiteTotals>> points_;
  std::map<Frames, std::size_t> known_;
};

}  // namespace

Result<void> write_dhat(const Profile& profile, const FormatOptions&, Output& output) {
  return output.write(DhatFile(profile).write());
}

}  // namespace tracer::report
