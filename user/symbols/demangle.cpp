// SPDX-License-Identifier: Apache-2.0
#define HAVE_DECL_BASENAME 1  // libiberty declares its own basename() otherwise
#include <libiberty/demangle.h>

#include <cstdlib>
#include <memory>

#include "symbols/symbolizer.h"

namespace tracer::symbols {
namespace {
struct Free {
  void operator()(char* text) const { std::free(text); }
};
}  // namespace

std::string demangle(const std::string& name) {
  std::unique_ptr<char, Free> text(cplus_demangle(name.c_str(), DMGL_AUTO | DMGL_PARAMS | DMGL_ANSI));
  return text ? std::string(text.get()) : name;
}

}  // namespace tracer::symbols
