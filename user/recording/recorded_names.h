// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "recording/fields.h"
#include "report/names.h"

namespace tracer::recording {

/// The stacks of a recording and the names in them.
class RecordedNames : public report::Names {
 public:
  void add_module(const Fields& record);
  void add_stack(const Fields& record);

  /// nullptr for an id that no record has described.
  const heap::Stack* find(heap::StackId id) const;

  const std::vector<symbols::SourceFrame>& symbolize(const heap::Frame& frame) override;
  const std::string& module_path(heap::ModuleId id) const override;
  const std::string& module_build_id(heap::ModuleId id) const override;

 private:
  struct Module {
    std::string path;
    std::string build_id;
  };
  using Place = std::tuple<heap::ModuleId, std::uint64_t, bool>;  // of a question to symbolize()

  static Place place_of(const heap::Frame& frame);
  heap::Frame frame_of(const Fields& record);
  heap::ModuleId module_of(const Fields& frame);

  std::unordered_map<heap::StackId, heap::Stack> stacks_;
  std::unordered_map<heap::ModuleId, Module> modules_;
  std::map<std::string, heap::ModuleId> by_path_;  ///< in recordings that number no modules
  std::map<Place, std::vector<symbols::SourceFrame>> names_;
};

}  // namespace tracer::recording
