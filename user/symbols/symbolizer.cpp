// SPDX-License-Identifier: Apache-2.0
#include "symbols/symbolizer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "symbols/debug_package.h"
#include "symbols/module_symbols.h"

namespace tracer::symbols {
namespace {

struct Question {
  heap::ModuleId module;
  std::uint64_t address;  // of the file; without a module, of the process
  bool exact;
  std::int32_t pid;  // without a module: whose address it is

  bool operator==(const Question&) const = default;
};

struct QuestionHash {
  std::size_t operator()(const Question& question) const {
    const std::uint64_t rest = (std::uint64_t{question.module} << 1) | (question.exact ? 1 : 0) |
                               (std::uint64_t{static_cast<std::uint32_t>(question.pid)} << 33);
    return std::hash<std::uint64_t>()(question.address ^ (rest * 0x9e3779b97f4a7c15));
  }
};

Question question_of(const heap::Frame& frame) {
  if (frame.module == heap::kNoModule) return {frame.module, frame.ip, frame.exact, frame.pid};
  return {frame.module, frame.module_address, frame.exact, 0};
}

// Debug information is unpacked into memory, tens of megabytes for a large library.
constexpr std::size_t kMostOpen = 48;

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
    UniqueFd watched;
    if (file.modified_ns != 0 && file.file.valid()) watched.reset(::fcntl(file.file.get(), F_DUPFD_CLOEXEC, 3));
    module->second = Module{std::move(file), std::move(watched)};
  }

  const std::vector<SourceFrame>& symbolize(const heap::Frame& frame) {
    const Question question = question_of(frame);
    auto [answer, is_new] = answers_.try_emplace(question);
    Answer& known = answer->second;
    const std::uint64_t begin_ns = monotonic_ns();
    // What was asked of a module that had been released is asked again when its file is there again.
    if (question.module == heap::kNoModule) {
      // The name may come later: the process is asked about its code until it has one.
      if (is_new || known.is_provisional) known.frames = {generated(question)};
      known.is_provisional = !known.frames.front().named;
    } else if (is_new || (known.is_provisional && is_open(question.module)) || is_worth_asking_again(question, known)) {
      known.is_provisional = !is_open(question.module);
      known.was_online = debuginfod_ != nullptr;
      known.frames = answer_to(question);
      tell_progress(monotonic_ns() - begin_ns);
    }
    return known.frames;
  }

  void add_process(const CodeOwner& owner) { processes_.try_emplace(owner.pid, owner); }
  bool knows_process(pid_t pid) const { return processes_.contains(pid); }
  void forget_process(pid_t pid) { processes_.erase(pid); }

  void use(std::unique_ptr<Debuginfod> debuginfod) { debuginfod_ = std::move(debuginfod); }

  bool can_answer(heap::ModuleId id) const { return is_open(id) && is_unchanged(modules_.at(id)); }

  void release_module(heap::ModuleId id) {
    auto module = modules_.find(id);
    if (module == modules_.end()) return;
    if (module->second.opened) module->second.lack = module->second.opened->symbols->lack();
    module->second.asked = true;
    module->second.released = true;
    module->second.opened.reset();
    module->second.file.file.reset();
    module->second.watched.reset();
  }

  std::vector<Lack> lacks() const {
    struct Count {
      std::uint64_t nameless = 0;
      bool has_lines = false;
    };
    std::map<std::pair<heap::ModuleId, pid_t>, Count> counts;
    for (const auto& [question, answer] : answers_) {
      Count& count = counts[{question.module, question.pid}];
      if (!answer.frames.back().named) ++count.nameless;
      count.has_lines = count.has_lines || answer.frames.back().line != 0;
    }
    std::vector<Lack> lacks;
    for (const auto& [whose, count] : counts) {
      if (count.nameless == 0 && count.has_lines) continue;
      if (std::optional<Lack> lack = lack_of(whose.first, whose.second, count.nameless))
        lacks.push_back(*std::move(lack));
    }
    std::ranges::sort(lacks, {}, &Lack::path);
    return lacks;
  }

  const ModuleFile* file_of(heap::ModuleId id) const {
    auto module = modules_.find(id);
    return module == modules_.end() ? nullptr : &module->second.file;
  }

 private:
  /// The symbols of a file, for all modules that have its build id: containers have a copy each of the same libraries.
  struct Opened {
    std::unique_ptr<ModuleSymbols> symbols;
    UniqueFd watched;  // the file that was opened, to see whether it is written to
    std::uint64_t size_bytes = 0;
    std::uint64_t modified_ns = 0;
    std::uint64_t used = 0;  // the higher, the later it was asked
    bool was_online = false;
  };

  struct Module {
    ModuleFile file;
    UniqueFd watched;       // the same file, to see whether it is written to
    bool asked = false;     // opened, or released, which forbids to open it
    bool released = false;  // may be added again
    std::shared_ptr<Opened> opened = nullptr;
    std::string lack = "it had gone before it was asked";  // why an address of it would have no name
  };

  struct Answer {
    std::vector<SourceFrame> frames;
    bool is_provisional = false;
    bool was_online = false;
  };

  bool is_worth_asking_again(const Question& question, const Answer& answer) const {
    return debuginfod_ && !answer.was_online && is_open(question.module) && answer.frames.back().line == 0;
  }

  bool is_open(heap::ModuleId id) const {
    const auto module = modules_.find(id);
    return module != modules_.end() && !module->second.released;
  }

  std::optional<Lack> lack_of(heap::ModuleId id, pid_t pid, std::uint64_t nameless) const {
    if (id == heap::kNoModule) {
      const auto process = processes_.find(pid);
      if (nameless == 0 || process == processes_.end()) return std::nullopt;
      const std::string& why = process->second.lack();
      return Lack{fmt::format("generated code of pid {}", pid), nameless,
                  why.empty() ? process->second.path() + " does not have them" : why,
                  "node --perf-basic-prof writes names; so does jcmd PID Compiler.perfmap (JDK 17)"};
    }
    const auto module = modules_.find(id);
    if (module == modules_.end() || module->second.file.path.starts_with('[')) return std::nullopt;
    const std::string why = module->second.opened ? module->second.opened->symbols->lack() : module->second.lack;
    return Lack{module->second.file.path, nameless, why, hint_for(module->second, nameless > 0)};
  }

  /// Files and lines are missing of most modules: the package is looked for only where names are.
  static std::string hint_for(const Module& module, bool is_nameless) {
    const std::string package = is_nameless ? package_of(module.file.root, module.file.path) : "";
    if (package.empty()) return "its debug information: in the package with -dbgsym or -debuginfo, or by --debuginfod";
    return fmt::format("install {}-dbgsym, or use --debuginfod", package);
  }

  /// A person who waits for names is told so, every second of it.
  void tell_progress(std::uint64_t took_ns) {
    constexpr std::uint64_t kPatienceNs = 1'000'000'000;
    busy_ns_ += took_ns;
    if (busy_ns_ < kPatienceNs) return;
    busy_ns_ = 0;
    if (::isatty(STDERR_FILENO) != 0) log::info("looking up names: {} addresses so far", answers_.size());
  }

  SourceFrame generated(const Question& question) {
    const auto process = processes_.find(question.pid);
    const std::uint64_t address = question.exact ? question.address : question.address - 1;
    std::string name;
    if (process != processes_.end()) name = process->second.name_at(address);
    SourceFrame frame = nameless(name.empty() ? fmt::format("[{:#x}]", question.address) : name);
    frame.named = !name.empty();
    return frame;
  }

  std::vector<SourceFrame> answer_to(const Question& question) {
    auto module = modules_.find(question.module);
    if (module == modules_.end()) return {nameless(fmt::format("[{:#x}]", question.address))};
    ModuleSymbols* symbols = opened(&module->second);
    std::vector<SourceFrame> frames;
    if (symbols != nullptr) {
      const std::uint64_t address = question.exact ? question.address : question.address - 1;
      for (const DwarfFrame& frame : symbols->frames_at(address)) frames.push_back(named(frame));
      // Written to while it was read.
      if (!is_unchanged(module->second)) frames.clear();
    }
    if (frames.empty()) frames.emplace_back();
    if (!frames.back().named) {
      frames.back().function = fmt::format("[{}+{:#x}]", base_name(module->second.file.path), question.address);
    }
    return visible(std::move(frames));
  }

  ModuleSymbols* opened(Module* module) {
    if (module->released) return nullptr;
    if (!std::exchange(module->asked, true)) module->opened = open_or_share(*module);
    // Whatever is read from a file that was overwritten in place is about another content.
    if (!is_unchanged(*module)) module->opened.reset();
    if (module->opened && !is_unchanged(*module->opened)) module->opened = open(*module);
    if (!module->opened) return nullptr;
    Opened& opened = *module->opened;
    opened.used = ++uses_;
    if (debuginfod_ && !opened.symbols->has_lines() && !std::exchange(opened.was_online, true))
      opened.symbols->download(*debuginfod_, module->file);
    return opened.symbols.get();
  }

  /// One that has no lines is not shared: there may be a debug file for the next, where its process sees files.
  std::shared_ptr<Opened> open_or_share(Module& module) {
    if (module.file.build_id.empty() || !module.watched.valid()) return open(module);
    std::weak_ptr<Opened>& known = by_build_id_[{module.file.build_id, module.file.size_bytes}];
    if (std::shared_ptr<Opened> shared = known.lock(); shared && shared->symbols->has_lines() && is_unchanged(*shared))
      return shared;
    std::shared_ptr<Opened> own = open(module);
    known = own;
    return own;
  }

  std::shared_ptr<Opened> open(Module& module) {
    make_room();
    auto opened = std::make_shared<Opened>();
    opened->size_bytes = module.file.size_bytes;
    opened->modified_ns = module.file.modified_ns;
    if (module.watched.valid()) {
      opened->watched.reset(::fcntl(module.watched.get(), F_DUPFD_CLOEXEC, 3));
      if (!module.file.file.valid()) module.file.file.reset(::fcntl(module.watched.get(), F_DUPFD_CLOEXEC, 3));
    }
    opened->symbols = ModuleSymbols::open(&module.file);
    return opened;
  }

  /// Closes what was not asked for the longest time. It is opened anew when it is asked again.
  void make_room() {
    std::set<Opened*> open;
    for (auto& [id, module] : modules_) {
      if (module.opened && module.opened->watched.valid()) open.insert(module.opened.get());
    }
    if (open.size() < kMostOpen) return;
    const Opened* oldest = *std::ranges::min_element(open, {}, &Opened::used);
    for (auto& [id, module] : modules_) {
      if (module.opened.get() != oldest) continue;
      module.lack = module.opened->symbols->lack();
      module.opened.reset();
      module.asked = false;
    }
  }

  static bool is_unchanged(const Module& module) {
    return is_unchanged(module.watched, module.file.size_bytes, module.file.modified_ns);
  }
  static bool is_unchanged(const Opened& opened) {
    return is_unchanged(opened.watched, opened.size_bytes, opened.modified_ns);
  }
  static bool is_unchanged(const UniqueFd& watched, std::uint64_t size_bytes, std::uint64_t expected_ns) {
    struct stat status {};
    if (!watched.valid()) return true;
    if (::fstat(watched.get(), &status) != 0) return false;
    const std::uint64_t modified_ns = static_cast<std::uint64_t>(status.st_mtim.tv_sec) * 1'000'000'000U +
                                      static_cast<std::uint64_t>(status.st_mtim.tv_nsec);
    return modified_ns == expected_ns && static_cast<std::uint64_t>(status.st_size) == size_bytes;
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
  std::uint64_t uses_ = 0;
  std::uint64_t busy_ns_ = 0;  // spent on answers, since that was told
  std::unique_ptr<Debuginfod> debuginfod_;
  std::unordered_map<heap::ModuleId, Module> modules_;
  std::map<std::pair<std::string, std::uint64_t>, std::weak_ptr<Opened>> by_build_id_;  // and size
  std::unordered_map<pid_t, PerfMapFile> processes_;
  // Elements of an unordered_map do not move, so that references to answers stay valid.
  std::unordered_map<Question, Answer, QuestionHash> answers_;
};

Symbolizer::Symbolizer(Options options) : impl_(std::make_unique<Impl>(options)) {}
Symbolizer::~Symbolizer() = default;

void Symbolizer::add_module(heap::ModuleId id, ModuleFile file) { impl_->add_module(id, std::move(file)); }

const std::vector<SourceFrame>& Symbolizer::symbolize(const heap::Frame& frame) { return impl_->symbolize(frame); }

void Symbolizer::add_process(const CodeOwner& owner) { impl_->add_process(owner); }

bool Symbolizer::knows_process(pid_t pid) const { return impl_->knows_process(pid); }

void Symbolizer::forget_process(pid_t pid) { impl_->forget_process(pid); }

void Symbolizer::use(std::unique_ptr<Debuginfod> debuginfod) { impl_->use(std::move(debuginfod)); }

std::vector<Lack> Symbolizer::lacks() const { return impl_->lacks(); }

bool Symbolizer::can_answer(heap::ModuleId id) const { return impl_->can_answer(id); }

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
