// SPDX-License-Identifier: Apache-2.0
#include "proc/mounts.h"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <fstream>

namespace tracer::proc {
namespace {

Error corrupt(std::string_view line) {
  return Error(ErrorKind::kCorrupt, fmt::format("not a line of mountinfo: '{}'", line.substr(0, 200)));
}

/// The word up to the next blank, which is taken off too.
std::string_view take_word(std::string_view& line) {
  const std::size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

bool is_octal(char digit) { return digit >= '0' && digit <= '7'; }

/// Blanks, tabs, newlines and backslashes are written as "\040" and the like.
std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
        is_octal(text[i + 3])) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

bool parse_number(std::string_view text, std::uint32_t* out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size();
}

/// "/a" is below "/" and below "/a", but not below "/ab".
bool is_below(std::string_view path, std::string_view root) {
  if (root == "/") return true;
  return path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/');
}

}  // namespace

Result<Mount> parse_mount_line(std::string_view line) {
  const std::string_view whole = line;
  take_word(line);  // the mount's number
  take_word(line);  // its parent's
  const std::string_view device = take_word(line);
  const std::size_t colon = device.find(':');
  Mount mount;
  if (colon == std::string_view::npos || !parse_number(device.substr(0, colon), &mount.device_major) ||
      !parse_number(device.substr(colon + 1), &mount.device_minor))
    return corrupt(whole);
  mount.root = unescape(take_word(line));
  mount.point = unescape(take_word(line));
  if (!mount.point.starts_with('/')) return corrupt(whole);
  // Options and any number of fields, up to a dash.
  while (!line.empty() && take_word(line) != "-") continue;
  mount.type = unescape(take_word(line));
  return mount;
}

Result<std::vector<Mount>> read_mounts(pid_t pid, const std::string& proc_root) {
  std::ifstream file(fmt::format("{}/{}/mountinfo", proc_root, pid));
  if (!file) return Error(ErrorKind::kGone, fmt::format("process {} has exited", pid));
  std::vector<Mount> mounts;
  for (std::string line; std::getline(file, line);) {
    Result<Mount> mount = parse_mount_line(line);
    if (!mount) return std::move(mount).error();
    mounts.push_back(std::move(*mount));
  }
  return mounts;
}

std::vector<std::string> visible_paths(const std::vector<Mount>& mounts, std::uint32_t device_major,
                                       std::uint32_t device_minor, const std::string& path_in_file_system) {
  std::vector<std::string> paths;
  for (const Mount& mount : mounts) {
    if (mount.device_major != device_major || mount.device_minor != device_minor) continue;
    if (!is_below(path_in_file_system, mount.root)) continue;
    const std::string rest = mount.root == "/" ? path_in_file_system : path_in_file_system.substr(mount.root.size());
    paths.push_back(mount.point == "/" ? rest : mount.point + rest);
  }
  return paths;
}

}  // namespace tracer::proc
