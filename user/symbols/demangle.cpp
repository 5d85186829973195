// SPDX-License-Identifier: Apache-2.0
#define HAVE_DECL_BASENAME 1  // libiberty declares a basename() of its own otherwise
#include <libiberty/demangle.h>

#include <csetjmp>
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

}  // namespace

std::string demangle(const std::string& name) {
  Sink sink;
  return print(name.c_str(), &sink) && !sink.text.empty() ? sink.text : name;
}

}  // namespace tracer::symbols
