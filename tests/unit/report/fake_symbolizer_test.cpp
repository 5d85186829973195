// SPDX-License-Identifier: Apache-2.0
// A stand-in for symbols::Symbolizer with names given by the tests: reports are then the same on every machine. The
// linker takes it because the objects of a program come before its libraries.
#include "symbols/symbolizer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "report_fixture.h"

namespace tracer::symbols {

class Symbolizer::Impl {
 public:
  std::map<heap::ModuleId, ModuleFile> modules;
  std::map<std::pair<heap::ModuleId, std::uint64_t>, std::vector<SourceFrame>> unnamed;
  std::string none;
};

Symbolizer::Symbolizer(Options) : impl_(std::make_unique<Impl>()) {}
Symbolizer::~Symbolizer() = default;

void Symbolizer::add_module(heap::ModuleId id, ModuleFile file) { impl_->modules[id] = std::move(file); }

const std::vector<SourceFrame>& Symbolizer::symbolize(const heap::Frame& frame) {
  auto& names = report::testing::fake_names();
  ++names.questions;
  const std::pair key(frame.module, frame.module_address);
  if (const auto known = names.frames.find(key); known != names.frames.end()) return known->second;
  std::vector<SourceFrame>& answer = impl_->unnamed[key];
  const std::string& path = module_path(frame.module);
  if (answer.empty()) {
    answer.emplace_back();
    answer[0].function =
        path.empty() ? fmt::format("[{:#x}]", frame.ip) : fmt::format("[{}+{:#x}]", path, frame.module_address);
  }
  return answer;
}

std::vector<Lack> Symbolizer::lacks() const { return report::testing::fake_names().lacks; }

const std::string& Symbolizer::module_path(heap::ModuleId id) const {
  const auto found = impl_->modules.find(id);
  return found == impl_->modules.end() ? impl_->none : found->second.path;
}

const std::string& Symbolizer::module_build_id(heap::ModuleId id) const {
  const auto found = impl_->modules.find(id);
  return found == impl_->modules.end() ? impl_->none : found->second.build_id;
}

}  // namespace tracer::symbols

namespace tracer::report::testing {

FakeNames& fake_names() {
  static FakeNames names;
  return names;
}

TEST(FakeSymbolizerTest, AnswersWithGivenNamesAndWithAddressesElsewhere) {
  Scene scene;
  const Context context = scene.context();
  EXPECT_EQ(context.symbolizer->symbolize(scene.stack(17).frames[2])[1].function, "leaky(unsigned long)");
  EXPECT_EQ(context.symbolizer->symbolize({.ip = 0x99, .module = 1, .module_address = 0x77})[0].function,
            "[/usr/bin/server+0x77]");
}

}  // namespace tracer::report::testing
