// SPDX-License-Identifier: Apache-2.0
#include "tracing/met_module.h"

#include <fmt/format.h>
#include <unistd.h>

#include <string_view>

#include "library/file_identity.h"
#include "proc/mounts.h"

namespace tracer::tracing {
namespace {

/// The names from the file up to the root, as the kernel half has stored them; the last may have been cut.
std::vector<std::string_view> parts_of(const tr_module& module) {
  std::vector<std::string_view> parts;
  std::string_view rest(module.path, sizeof(module.path));
  for (std::uint32_t i = 0; i < module.path_parts; ++i) {
    const std::size_t end = rest.find('\0');
    if (end == std::string_view::npos) break;
    parts.push_back(rest.substr(0, end));
    rest.remove_prefix(end + 1);
  }
  return parts;
}

// The kernel half keeps this much of each name, and this many names (bpf/module.bpf.h).
constexpr std::size_t kLongestPart = 63;
constexpr std::size_t kMostParts = 16;
constexpr std::size_t kMostBytes = TR_MODULE_PATH - kLongestPart - 1;

}  // namespace

std::string path_in_file_system(const tr_module& module) {
  const std::vector<std::string_view> parts = parts_of(module);
  std::string path;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (part->size() >= kLongestPart) return {};
    path += '/';
    path += *part;
  }
  // One more name did not fit, perhaps.
  return parts.size() >= kMostParts || path.size() > kMostBytes ? std::string() : path;
}

std::string name_of(const tr_module& module) {
  const std::vector<std::string_view> parts = parts_of(module);
  return parts.empty() || parts.front().empty() ? fmt::format("inode {}", module.key.inode)
                                                : std::string(parts.front());
}

std::vector<PathToTry> paths_to_try(const tr_module& module) {
  const std::string path = path_in_file_system(module);
  if (path.empty()) return {};
  tr_file_key seen_through = module.key;
  seen_through.device = module.path_device;
  const library::FileIdentity device = library::FileIdentity::of(seen_through, 0);
  std::vector<PathToTry> paths;
  const auto add = [&](pid_t pid, const std::string& root) {
    const Result<std::vector<proc::Mount>> mounts = proc::read_mounts(pid);
    if (!mounts) return;
    for (const std::string& seen : proc::visible_paths(*mounts, device.device_major, device.device_minor, path))
      paths.push_back({root, seen});
  };
  const auto pid = static_cast<pid_t>(module.tgid);
  add(pid, fmt::format("/proc/{}/root", pid));
  add(::getpid(), "");
  return paths;
}

}  // namespace tracer::tracing
