// SPDX-License-Identifier: Apache-2.0
#include "recording/recorded_names.h"

#include <fmt/format.h>

#include <string_view>

namespace tracer::recording {
namespace {

// Above the numbers that a run gives.
constexpr heap::ModuleId kFirstOwnModule = 0x80000000;

heap::StackEnd end_named(const std::string& name, const Fields& record) {
  for (std::size_t i = 0; i < heap::kStackEndCount; ++i) {
    const auto end = static_cast<heap::StackEnd>(i);
    if (name == heap::stack_end_name(end)) return end;
  }
  record.complain("'end' is not known");
  return heap::StackEnd::kNotRecorded;
}

symbols::SourceFrame source_of(const Fields& record) {
  symbols::SourceFrame source;
  source.function = record.text("func");
  source.mangled = record.text_or("mangled");
  source.file = record.text_or("file");
  source.line = static_cast<std::uint32_t>(record.small_or("line", 0));
  source.inlined = record.flag_or("inline", false);
  // What has no name is called "[libfoo.so+0x1234]", and no name of a function begins like that.
  source.named = !source.function.starts_with('[');
  if (source.function.empty()) record.complain("'func' is empty");
  return source;
}

}  // namespace

void RecordedNames::add_module(const Fields& record) {
  const auto id = static_cast<heap::ModuleId>(record.small("module_id"));
  modules_[id] = {record.text("path"), record.text_or("build_id")};
}

void RecordedNames::add_stack(const Fields& record) {
  heap::Stack stack;
  stack.id = static_cast<heap::StackId>(record.small("stack_id"));
  stack.end = end_named(record.text("end"), record);
  std::vector<symbols::SourceFrame> sources;
  record.each("frames", [&](const rapidjson::Value& value) {
    const std::size_t before = sources.size();
    std::string problem;
    const Fields fields(value, &problem);
    sources.push_back(source_of(fields));
    // The frames that were inlined stand before the one that they were inlined into: together they are one place.
    if (!sources.back().inlined) {
      const heap::Frame frame = frame_of(fields);
      stack.frames.push_back(frame);
      names_.try_emplace(place_of(frame), std::move(sources));
      sources.clear();
    }
    if (!problem.empty()) record.complain(fmt::format("frame {}: {}", stack.frames.size() + before, problem));
  });
  if (!sources.empty()) record.complain("the last frame is inlined into nothing");
  if (record.is_good()) stacks_[stack.id] = std::move(stack);
}

heap::Frame RecordedNames::frame_of(const Fields& record) {
  heap::Frame frame;
  frame.ip = record.address_or("ip", 0);
  frame.module = module_of(record);
  frame.module_address = record.address_or("module_offset", 0);
  frame.exact = record.flag_or("exact", false);
  frame.by_frame_pointer = record.text_or("by") == "frame_pointer";
  return frame;
}

heap::ModuleId RecordedNames::module_of(const Fields& frame) {
  if (!frame.has("module")) return heap::kNoModule;
  const std::string path = frame.text("module");
  if (frame.has("module_id")) {
    const auto id = static_cast<heap::ModuleId>(frame.small("module_id"));
    modules_.try_emplace(id, Module{path, ""});
    return id;
  }
  const auto [known, is_new] =
      by_path_.try_emplace(path, kFirstOwnModule + static_cast<heap::ModuleId>(by_path_.size()));
  if (is_new) modules_[known->second] = {path, ""};
  return known->second;
}

RecordedNames::Place RecordedNames::place_of(const heap::Frame& frame) {
  if (frame.module == heap::kNoModule) return {frame.module, frame.ip, true};
  return {frame.module, frame.module_address, frame.exact};
}

const heap::Stack* RecordedNames::find(heap::StackId id) const {
  const auto found = stacks_.find(id);
  return found == stacks_.end() ? nullptr : &found->second;
}

const std::vector<symbols::SourceFrame>& RecordedNames::symbolize(const heap::Frame& frame) {
  std::vector<symbols::SourceFrame>& names = names_[place_of(frame)];
  if (names.empty()) {
    names.emplace_back();
    names.back().function = fmt::format("[{:#x}]", frame.module == heap::kNoModule ? frame.ip : frame.module_address);
  }
  return names;
}

const std::string& RecordedNames::module_path(heap::ModuleId id) const {
  static const std::string kNone;
  const auto found = modules_.find(id);
  return found == modules_.end() ? kNone : found->second.path;
}

const std::string& RecordedNames::module_build_id(heap::ModuleId id) const {
  static const std::string kNone;
  const auto found = modules_.find(id);
  return found == modules_.end() ? kNone : found->second.build_id;
}

}  // namespace tracer::recording
