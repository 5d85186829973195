// SPDX-License-Identifier: Apache-2.0
#include "symbols/debug_package.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

namespace tracer::symbols {
namespace {

constexpr const char* kLists = "/var/lib/dpkg/info";
constexpr std::string_view kEnding = ".list";

/// Debian lists files of /usr/lib as /lib where a package was built before the two became one.
bool is_same(std::string_view listed, std::string_view path) {
  constexpr std::string_view kMerged = "/usr";
  return listed == path || (path.starts_with(kMerged) && listed == path.substr(kMerged.size()));
}

bool lists(const std::filesystem::path& list, std::string_view path) {
  std::ifstream file(list);
  for (std::string line; std::getline(file, line);) {
    if (is_same(line, path)) return true;
  }
  return false;
}

}  // namespace

std::string package_of(const std::string& root, const std::string& path) {
  std::error_code error;
  std::filesystem::directory_iterator entries(root + kLists, error);
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    const std::string name = entries->path().filename();
    if (!name.ends_with(kEnding) || !lists(entries->path(), path)) continue;
    return name.substr(0, std::min(name.find(':'), name.size() - kEnding.size()));
  }
  return {};
}

}  // namespace tracer::symbols
