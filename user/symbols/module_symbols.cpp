// SPDX-License-Identifier: Apache-2.0
#include "symbols/module_symbols.h"

#include <utility>

#include "base/log.h"
#include "elf/debug_data.h"
#include "symbols/debug_file.h"

namespace tracer::symbols {
namespace {

constexpr std::size_t kMaxDebugDataBytes = 256u << 20;  // far above any .gnu_debugdata: it has only names

Result<ElfFile> open_by_path(const ModuleFile& module) {
  auto fd = open_below(module.root, module.path);
  if (!fd) return std::move(fd).error();
  auto file = ElfFile::open(std::move(fd).value(), ElfFile::Access::kRead);
  if (file && !module.build_id.empty() && file->build_id() != module.build_id) {
    return Error(ErrorKind::kGone, "another file is there now");
  }
  return file;
}

std::unique_ptr<DwarfLines> open_lines(const ModuleFile& module, const ElfFile& file) {
  return DwarfLines::open(file.handle(), [&](const std::string& name, const std::string& build_id) {
    return find_shared_file(module.root, file, name, build_id);
  });
}

// "f.cold", "f.part.0": pieces and copies of f that the compiler made.
bool is_clone_of(std::string_view symbol, std::string_view function) {
  return !function.empty() && symbol.size() > function.size() && symbol.starts_with(function) &&
         symbol[function.size()] == '.';
}

}  // namespace

std::unique_ptr<ModuleSymbols> ModuleSymbols::open(ModuleFile* module) {
  std::unique_ptr<ModuleSymbols> symbols(new ModuleSymbols);
  symbols->open_module_file(module);
  if (const ElfFile* file = symbols->module_.get()) symbols->lines_ = open_lines(*module, *file);
  if (!symbols->lines_) symbols->open_debug_file(*module);
  symbols->open_debug_data();
  symbols->fill_symbols();
  return symbols;
}

void ModuleSymbols::open_module_file(ModuleFile* module) {
  auto file =
      module->file.valid() ? ElfFile::open(std::move(module->file), ElfFile::Access::kRead) : open_by_path(*module);
  if (file) {
    module_ = std::make_unique<ElfFile>(std::move(file).value());
  } else {
    unreadable_ = file.error().message();
    log::debug("{}: no symbols: {}", module->path, unreadable_);
  }
}

void ModuleSymbols::open_debug_file(const ModuleFile& module) {
  DebugFileQuery query{module.path, module.root, module.build_id, std::nullopt};
  if (module_) {
    if (query.build_id.empty()) query.build_id = module_->build_id();
    query.debug_link = module_->debug_link();
  }
  auto file = find_debug_file(query);
  if (!file) {
    no_debug_file_ = file.error().message();
    log::debug("{}: no debug file: {}", module.path, no_debug_file_);
    return;
  }
  use_debug_file(module, std::move(file).value());
}

void ModuleSymbols::use_debug_file(const ModuleFile& module, ElfFile file) {
  debug_file_ = std::make_unique<ElfFile>(std::move(file));
  lines_ = open_lines(module, *debug_file_);
  no_debug_file_.clear();
}

bool ModuleSymbols::download(Debuginfod& debuginfod, const ModuleFile& module) {
  const std::string build_id = module.build_id.empty() && module_ ? module_->build_id() : module.build_id;
  auto fd = debuginfod.find(build_id, module.path);
  auto file = fd ? ElfFile::open(std::move(fd).value(), ElfFile::Access::kMap) : Result<ElfFile>(std::move(fd).error());
  if (file && file->build_id() != build_id) file = Error(ErrorKind::kCorrupt, "what came has another build id");
  if (!file) {
    no_debug_file_ += "; debuginfod: " + file.error().message();
    return false;
  }
  use_debug_file(module, std::move(file).value());
  symbols_ = {};
  fill_symbols();
  return true;
}

std::string ModuleSymbols::lack() const {
  if (!unreadable_.empty()) return "the file cannot be read: " + unreadable_;
  if (!no_debug_file_.empty()) return "no symbol covers them, and there is no debug file: " + no_debug_file_;
  return "no symbol covers them";
}

void ModuleSymbols::open_debug_data() {
  const Elf_Data* packed = module_ ? module_->section(".gnu_debugdata") : nullptr;
  if (packed == nullptr || packed->d_buf == nullptr) return;
  auto image = elf::decompress_xz({static_cast<const char*>(packed->d_buf), packed->d_size}, kMaxDebugDataBytes);
  if (!image) {
    log::debug(".gnu_debugdata: {}", image.error().message());
    return;
  }
  auto file = ElfFile::from_memory(std::move(image).value());
  if (file) debug_data_ = std::make_unique<ElfFile>(std::move(file).value());
}

void ModuleSymbols::fill_symbols() {
  for (const ElfFile* file : {module_.get(), debug_file_.get(), debug_data_.get()}) {
    if (file != nullptr) symbols_.add(file->handle());
  }
  symbols_.seal();
}

std::vector<DwarfFrame> ModuleSymbols::frames_at(std::uint64_t address) {
  std::vector<DwarfFrame> frames;
  if (lines_) frames = lines_->frames_at(address);
  const std::string_view symbol = symbols_.name_at(address);
  if (symbol.empty()) return frames;
  if (frames.empty()) frames.emplace_back();
  std::string_view& function = frames.back().function;
  if (!is_clone_of(symbol, function)) function = symbol;
  return frames;
}

}  // namespace tracer::symbols
