// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "program.h"
#include "symbols/symbolizer.h"

namespace tracer::symbols {

/// "shop::middle(int) at /src/shop.cpp:13".
inline std::string line_of(const SourceFrame& frame) {
  const bool known = !frame.file.empty();
  const std::string file = known ? std::filesystem::path(frame.file).lexically_normal().string() : "??";
  return fmt::format("{} at {}:{}", frame.function, file, frame.line);
}

using FramesByAddress = std::map<std::uint64_t, std::vector<std::string>>;

/// What a tool says that takes addr2line's options: for each address the frames, innermost first.
inline FramesByAddress frames_by(const std::string& tool, const std::string& path,
                                 const std::vector<std::uint64_t>& addresses) {
  std::string input;
  for (std::uint64_t address : addresses) input += fmt::format("{:#x}\n", address);
  TempDirectory directory;
  write_file(directory / "addresses", input);
  std::istringstream output(output_of(tool + " -a -i -f -e " + path + " < " + directory / "addresses"));
  FramesByAddress answers;
  std::vector<std::string>* current = nullptr;
  std::string function;
  while (std::getline(output, function)) {
    if (function.empty()) continue;
    if (function.starts_with("0x")) {
      current = &answers[std::stoull(function, nullptr, 16)];
      continue;
    }
    std::string place;
    std::getline(output, place);
    place = place.substr(0, place.find(" (discriminator"));
    const std::size_t colon = place.rfind(':');
    const std::string file = std::filesystem::path(place.substr(0, colon)).lexically_normal();
    const unsigned long line = std::strtoul(place.c_str() + colon + 1, nullptr, 10);
    current->push_back(fmt::format("{} at {}:{}", function, file, line));
  }
  return answers;
}

}  // namespace tracer::symbols
