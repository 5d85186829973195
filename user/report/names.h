// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "heap/stack.h"
#include "symbols/symbolizer.h"

namespace tracer::report {

/// Where reports get names from: the files of a machine, or a recording that holds them already. One thread uses it;
/// references stay valid as long as the object.
class Names {
 public:
  virtual ~Names() = default;
  /// As symbols::Symbolizer::symbolize().
  virtual const std::vector<symbols::SourceFrame>& symbolize(const heap::Frame& frame) = 0;
  /// Path of a module for people; empty for kNoModule.
  virtual const std::string& module_path(heap::ModuleId id) const = 0;
  /// Lower-case hex; empty where the file has none.
  virtual const std::string& module_build_id(heap::ModuleId id) const = 0;
  /// What has no names or lines, and why; of a recording that is among its diagnostics.
  virtual std::vector<symbols::Lack> lacks() const { return {}; }
};

/// Names from files. The symbolizer outlives it.
class FileNames final : public Names {
 public:
  explicit FileNames(symbols::Symbolizer& symbolizer) : symbolizer_(symbolizer) {}

  const std::vector<symbols::SourceFrame>& symbolize(const heap::Frame& frame) override {
    return symbolizer_.symbolize(frame);
  }
  const std::string& module_path(heap::ModuleId id) const override { return symbolizer_.module_path(id); }
  const std::string& module_build_id(heap::ModuleId id) const override { return symbolizer_.module_build_id(id); }
  std::vector<symbols::Lack> lacks() const override { return symbolizer_.lacks(); }

 private:
  symbols::Symbolizer& symbolizer_;
};

}  // namespace tracer::report
