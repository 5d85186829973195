// SPDX-License-Identifier: Apache-2.0
#include "cli/leak_options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <fstream>
#include <iterator>

#include "cli/values.h"

namespace tracer::cli {
namespace {

constexpr std::uint64_t kLargestExitCode = 255;

Result<std::string> read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file.is_open() || file.bad())
    return Error::from_errno(errno, fmt::format("--suppressions: cannot read '{}'", path),
                             "give a file with lines such as 'leak:libfoo.so'");
  return text;
}

}  // namespace

void declare_leaks(CLI::App& app, RawLeaks& raw) {
  app.add_option("--suppressions", raw.suppressions)->allow_extra_args(false);
  app.add_option("--leak-exitcode", raw.exitcode);
}

Result<Leaks> read_leaks(const RawLeaks& raw) {
  Leaks leaks;
  if (!raw.exitcode.empty()) {
    Result<std::uint64_t> code = parse_number("--leak-exitcode", raw.exitcode, 0, kLargestExitCode);
    if (!code) return std::move(code).error();
    leaks.exitcode = static_cast<int>(*code);
  }
  heap::Suppressions all;
  for (const std::string& path : raw.suppressions) {
    Result<std::string> text = read_text(path);
    if (!text) return std::move(text).error();
    if (Result<void> added = all.add(*text, path); !added) return std::move(added).error();
  }
  if (!raw.suppressions.empty()) leaks.suppressions = std::make_shared<const heap::Suppressions>(std::move(all));
  return leaks;
}

}  // namespace tracer::cli
