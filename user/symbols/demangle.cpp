// SPDX-License-Identifier: Apache-2.0
#define HAVE_DECL_BASENAME 1  // libiberty declares a basename() of its own otherwise
#include <libiberty/demangle.h>

#include <algorithm>
#include <cctype>
#include <csetjmp>
#include <cstdlib>
#include <memory>
#include <string>

#include "symbols/symbolizer.h"

namespace tracer::symbols {
namespace {

constexpr int kStyle = DMGL_PARAMS | DMGL_ANSI;

// Substitutions double a name with every few letters: 300 letters can ask for more text than there is memory.
constexpr std::size_t kMaxDemangledLength = 16 * 1024;

struct Sink {
  std::jmp_buf too_long;
  std::string text;
};

// The printers have no way to be told to stop. They keep what they need on the stack, so that leaving by longjmp is
// clean: no frame in between has a destructor.
void append(const char* part, std::size_t length, void* opaque) noexcept {
  auto* sink = static_cast<Sink*>(opaque);
  if (sink->text.size() + length > kMaxDemangledLength) std::longjmp(sink->too_long, 1);
  sink->text.append(part, length);
}

bool print(const char* name, Sink* sink) {
  if (setjmp(sink->too_long) != 0) return false;
  // Rust's legacy names are valid C++ ones, so Rust goes first.
  if (rust_demangle_callback(name, kStyle, append, sink) != 0) return true;
  sink->text.clear();
  return cplus_demangle_v3_callback(name, kStyle, append, sink) != 0;
}

// D's printer has no sink; so names are refused that could make it print without end. Each back reference ("Q") can
// double what stands before it only together with another one.
constexpr std::size_t kLongestDName = 2048;
constexpr std::ptrdiff_t kMostBackReferences = 20;

/// "_D" and the length of the first part (dlang.org/spec/abi.html, Name Mangling).
bool is_d_name(const std::string& name) {
  return name.size() > 2 && name.starts_with("_D") && std::isdigit(static_cast<unsigned char>(name[2])) != 0 &&
         name.size() <= kLongestDName && std::ranges::count(name, 'Q') <= kMostBackReferences;
}

struct Free {
  void operator()(char* text) const { std::free(text); }
};

}  // namespace

std::string demangle(const std::string& name) {
  if (is_d_name(name)) {
    const std::unique_ptr<char, Free> text(dlang_demangle(name.c_str(), kStyle));
    return text ? std::string(text.get()) : name;
  }
  Sink sink;
  return print(name.c_str(), &sink) && !sink.text.empty() ? sink.text : name;
}

}  // namespace tracer::symbols
