// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <cstdio>

namespace tracer::log {
namespace {
Level g_level = Level::kNormal;
}  // namespace

void set_level(Level level) { g_level = level; }
Level level() { return g_level; }

void write(Level at, const std::string& line) {
  if (at > g_level) return;
  // One call per line, so that lines of the traced command and ours do not mix within a line.
  std::fputs(("tracer: " + line + "\n").c_str(), stderr);
}

void error(const Error& error) {
  std::string text = "tracer: error: " + error.message() + "\n";
  if (!error.hint().empty()) text += "tracer: hint: " + error.hint() + "\n";
  std::fputs(text.c_str(), stderr);
}

}  // namespace tracer::log
