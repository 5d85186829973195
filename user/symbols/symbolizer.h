// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "heap/stack.h"
#include "symbols/debuginfod.h"
#include "symbols/perf_map_file.h"

namespace tracer::symbols {

/// One source-level frame; an address inside inlined code has several.
struct SourceFrame {
  std::string function;    ///< demangled; never empty: "[libfoo.so+0x1234]"-like when nothing is known
  std::string mangled;     ///< as in the symbol table; empty when equal to `function`
  std::string file;        ///< empty without line information
  std::uint32_t line = 0;  ///< 0 without line information
  bool inlined = false;    ///< this frame was inlined into the next one
  bool named = false;      ///< false: no symbol covers the address
};

/// What to look names up in.
struct ModuleFile {
  std::string path;              ///< for people, and for finding "<dir>/.debug/…"; not opened when `file` is valid
  std::string build_id;          ///< lower-case hex, may be empty
  UniqueFd file;                 ///< the mapped file itself; owned by the symbolizer until release_module()
  std::string root;              ///< root directory in which separate debug files are searched, "/proc/PID/root" or ""
  std::uint64_t size_bytes = 0;  ///< of the content that is meant: when the file's size or time of modification differ,
  std::uint64_t modified_ns = 0;  ///< it has been written to and is asked no more; 0: not checked
};

/// A module of which something could not be named.
struct Lack {
  std::string path;            ///< for generated code: "generated code of pid 42"
  std::uint64_t nameless = 0;  ///< addresses without a name; 0: they have names, yet no files and lines
  std::string why;
  std::string hint;  ///< what to do about it
};

struct Options {
  bool inlines = true;   ///< false: one frame per address, the real function with the line inside of it
  bool demangle = true;  ///< false: names as in the symbol table
};

/// Turns (module, address in the file) into names, lines and inlined frames.
///
/// Names come from .symtab, .dynsym and the LZMA-compressed .gnu_debugdata; file, line and inlined frames from DWARF in
/// the file itself or in a separate debug file found by build id (/usr/lib/debug/.build-id/xx/yyyy.debug) or by
/// .gnu_debuglink (CRC checked); names of generated code from the perf map of its process. Files are opened and parsed
/// at the first question about the module. Answers are cached for ever, so they stay available after release_module().
///
/// One thread uses it. References that symbolize() returns stay valid as long as the symbolizer.
class Symbolizer {
 public:
  explicit Symbolizer(Options options = {});
  ~Symbolizer();
  Symbolizer(const Symbolizer&) = delete;
  Symbolizer& operator=(const Symbolizer&) = delete;

  /// Makes a module known under an id that the caller chose. An id that is known must have been released: the
  /// same file is mapped once more, and what is asked from now on is looked up in it again.
  void add_module(heap::ModuleId id, ModuleFile file);

  /// From now on a module without lines is looked for on servers too, when it is asked about: that may take seconds, so
  /// that it is for the end of a run. What was answered before without lines is asked again.
  void use(std::unique_ptr<Debuginfod> debuginfod);

  /// What was asked for and not found, by path.
  std::vector<Lack> lacks() const;

  /// Generated code of a process may have names from now on: see PerfMapFile. While the process lives.
  void add_process(const CodeOwner& owner);
  bool knows_process(pid_t pid) const;
  /// The process has ended; answers stay.
  void forget_process(pid_t pid);

  /// Source frames of an address, innermost (most deeply inlined) first; at least one.
  /// `module_address` is an ELF vaddr; unless `frame.exact` is set it is a return address and the instruction before it
  /// is looked up.
  const std::vector<SourceFrame>& symbolize(const heap::Frame& frame);

  /// Whether the module's file is there to be asked: added, not released, and not written to since.
  bool can_answer(heap::ModuleId id) const;

  /// Forgets everything opened for a module, so that its file is held no longer; cached answers stay, new questions
  /// about it are answered with what is cached or "[path+0x…]".
  void release_module(heap::ModuleId id);

  /// Path of a module for people; empty for kNoModule.
  const std::string& module_path(heap::ModuleId id) const;
  const std::string& module_build_id(heap::ModuleId id) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// C++ (Itanium) and Rust (legacy and v0) names for people; returns the input when it is not mangled.
std::string demangle(const std::string& name);

}  // namespace tracer::symbols
