// SPDX-License-Identifier: Apache-2.0
#include "symbols/symbolizer.h"

#include <fmt/format.h>

#include <functional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "symbols/module_symbols.h"

namespace tracer::symbols {
namespace {

struct Question {
  heap::ModuleId module;
  std::uint64_t address;  // of the file; without a module, of the process
  bool exact;

  bool operator==(const Question&) const = default;
};

struct QuestionHash {
  std::size_t operator()(const Question& question) const {
    const std::uint64_t rest = (std::uint64_t{question.module} << 1) | (question.exact ? 1 : 0);
    return std::hash<std::uint64_t>()(question.address ^ (rest * 0x9e3779b97f4a7c15));
  }
};

Question question_of(const heap::Frame& frame) {
  if (frame.module == heap::kNoModule) return {frame.module, frame.ip, true};
  return {frame.module, frame.module_address, frame.exact};
}

std::string_view base_name(std::string_view path) {
  const std::string_view name = path.substr(path.find_last_of('/') + 1);
  return name.empty() ? "unknown" : name;
}

}  // namespace

class Symbolizer::Impl {
 public:
  explicit Impl(Options options) : options_(options) {}

  void add_module(heap::ModuleId id, ModuleFile file) {
    TRACER_CHECK(id != heap::kNoModule);
    auto [module, is_new] = modules_.try_emplace(id);
    TRACER_CHECK(is_new || module->second.released);
    module->second = Module{std::move(file), false, false, nullptr};
  }

  const std::vector<SourceFrame>& symbolize(const heap::Frame& frame) {
    const Question question = question_of(frame);
    auto [answer, is_new] = answers_.try_emplace(question);
    if (is_new) answer->second = answer_to(question, frame.ip);
    return answer->second;
  }

  void release_module(heap::ModuleId id) {
    auto module = modules_.find(id);
    if (module == modules_.end()) return;
    module->second.asked = true;
    module->second.released = true;
    module->second.symbols.reset();
    module->second.file.file.reset();
  }

  const ModuleFile* file_of(heap::ModuleId id) const {
    auto module = modules_.find(id);
    return module == modules_.end() ? nullptr : &module->second.file;
  }

 private:
  struct Module {
    ModuleFile file;
    bool asked = false;     // opened, or released, which forbids to open it
    bool released = false;  // may be added again
    std::unique_ptr<ModuleSymbols> symbols;
  };

  std::vector<SourceFrame> answer_to(const Question& question, std::uint64_t ip) {
    auto module = modules_.find(question.module);
    if (module == modules_.end()) return {nameless(fmt::format("[{:#x}]", ip))};
    ModuleSymbols* symbols = opened(&module->second);
    std::vector<SourceFrame> frames;
    if (symbols != nullptr) {
      const std::uint64_t address = question.exact ? question.address : question.address - 1;
      for (const DwarfFrame& frame : symbols->frames_at(address)) frames.push_back(named(frame));
    }
    if (frames.empty()) frames.emplace_back();
    if (!frames.back().named) {
      frames.back().function = fmt::format("[{}+{:#x}]", base_name(module->second.file.path), question.address);
    }
    return visible(std::move(frames));
  }

  ModuleSymbols* opened(Module* module) {
    if (!std::exchange(module->asked, true)) module->symbols = ModuleSymbols::open(&module->file);
    return module->symbols.get();
  }

  static SourceFrame nameless(std::string function) {
    SourceFrame frame;
    frame.function = std::move(function);
    return frame;
  }

  SourceFrame named(const DwarfFrame& from) const {
    SourceFrame frame;
    const std::string name(from.function);
    frame.named = !name.empty();
    frame.function = options_.demangle ? demangle(name) : name;
    if (frame.function != name) frame.mangled = name;
    frame.file = from.file;
    frame.line = from.line;
    return frame;
  }

  std::vector<SourceFrame> visible(std::vector<SourceFrame> frames) const {
    if (!options_.inlines) frames.erase(frames.begin(), frames.end() - 1);
    for (std::size_t i = 0; i + 1 < frames.size(); ++i) {
      frames[i].inlined = true;
      if (!frames[i].named) frames[i].function = "[inlined]";
    }
    return frames;
  }

  Options options_;
  std::unordered_map<heap::ModuleId, Module> modules_;
  // Elements of an unordered_map do not move, so that references to answers stay valid.
  std::unordered_map<Question, std::vector<SourceFrame>, QuestionHash> answers_;
};

Symbolizer::Symbolizer(Options options) : impl_(std::make_unique<Impl>(options)) {}
Symbolizer::~Symbolizer() = default;

void Symbolizer::add_module(heap::ModuleId id, ModuleFile file) { impl_->add_module(id, std::move(file)); }

const std::vector<SourceFrame>& Symbolizer::symbolize(const heap::Frame& frame) { return impl_->symbolize(frame); }

void Symbolizer::release_module(heap::ModuleId id) { impl_->release_module(id); }

const std::string& Symbolizer::module_path(heap::ModuleId id) const {
  static const std::string kNone;
  const ModuleFile* file = impl_->file_of(id);
  return file == nullptr ? kNone : file->path;
}

const std::string& Symbolizer::module_build_id(heap::ModuleId id) const {
  static const std::string kNone;
  const ModuleFile* file = impl_->file_of(id);
  return file == nullptr ? kNone : file->build_id;
}

}  // namespace tracer::symbols
