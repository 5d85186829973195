// SPDX-License-Identifier: Apache-2.0
#include "proc/container.h"

#include <algorithm>

namespace tracer::proc {
namespace {

constexpr std::size_t kIdDigits = 64;
constexpr std::size_t kShortestPrefix = 6;
constexpr std::size_t kShownDigits = 12;

enum class Naming {
  kId,           ///< 64 hex digits
  kName,         ///< anything
  kEscapedName,  ///< anything, as systemd escapes the names of units
};

/// How a runtime names the cgroup of a container: `prefix`, the id or name, `suffix`. A prefix that begins with a colon
/// may have anything before it: runtimes that make cgroups themselves take "SLICE:RUNTIME:ID" literally.
struct Pattern {
  std::string_view parent;  ///< name of the cgroup above; empty: any
  std::string_view prefix;
  std::string_view suffix;
  Naming naming;
};

// The monitors "crio-conmon-ID.scope", "libpod-conmon-ID.scope" and "lxc.monitor.NAME" are outside of the containers
// that they watch, and match none of these.
constexpr Pattern kPatterns[] = {
    {"", "docker-", ".scope", Naming::kId},          // docker, moby
    {"", "cri-containerd-", ".scope", Naming::kId},  // containerd under Kubernetes
    {"", "nerdctl-", ".scope", Naming::kId},         // containerd by nerdctl
    {"", "libpod-", ".scope", Naming::kId},          // podman
    {"", "libpod-", "", Naming::kId},                // podman, cgroupfs
    {"", "crio-", ".scope", Naming::kId},            // CRI-O
    {"", "crio-", "", Naming::kId},                  // CRI-O, cgroupfs
    {"", ":docker:", "", Naming::kId},
    {"", ":cri-containerd:", "", Naming::kId},
    {"", ":libpod:", "", Naming::kId},
    {"", ":crio:", "", Naming::kId},
    {"", "", "", Naming::kId},  // /docker/ID, kubepods/…/podUID/ID, /ecs/TASK/ID and the like
    {"lxc", "", "", Naming::kName},
    {"lxc.payload", "", "", Naming::kName},
    {"", "lxc.payload.", "", Naming::kName},
    {"machine.slice", "machine-", ".scope", Naming::kEscapedName},           // systemd-nspawn, machinectl
    {"machine.slice", "systemd-nspawn@", ".service", Naming::kEscapedName},  // started as a service
};

bool is_hex(std::string_view text) {
  return std::ranges::all_of(
      text, [](char digit) { return (digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f'); });
}

int digit_of(char hex) { return hex <= '9' ? hex - '0' : hex - 'a' + 10; }

/// "\x2d" is how systemd writes a dash (systemd-escape(1)).
std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 2) == "\\x" && i + 4 <= text.size() && is_hex(text.substr(i + 2, 2))) {
      out += static_cast<char>(digit_of(text[i + 2]) * 16 + digit_of(text[i + 3]));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

/// What stands between prefix and suffix; empty when the pattern does not fit.
std::string match(const Pattern& pattern, std::string_view parent, std::string_view name) {
  if (!pattern.parent.empty() && parent != pattern.parent) return {};
  if (pattern.prefix.starts_with(':')) name.remove_prefix(std::min(name.find(pattern.prefix), name.size()));
  if (!name.starts_with(pattern.prefix)) return {};
  name.remove_prefix(pattern.prefix.size());
  if (!name.ends_with(pattern.suffix)) return {};
  name.remove_suffix(pattern.suffix.size());
  if (pattern.naming == Naming::kId) return name.size() == kIdDigits && is_hex(name) ? std::string(name) : "";
  return pattern.naming == Naming::kEscapedName ? unescape(name) : std::string(name);
}

/// Cuts the first piece off `text`, and the `mark` that ends it.
std::string_view take_until(std::string_view& text, char mark) {
  const std::size_t end = std::min(text.find(mark), text.size());
  const std::string_view piece = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return piece;
}

}  // namespace

std::string container_of_component(std::string_view parent, std::string_view name) {
  for (const Pattern& pattern : kPatterns) {
    if (std::string found = match(pattern, parent, name); !found.empty()) return found;
  }
  return {};
}

std::string container_of_cgroup(std::string_view path) {
  std::string innermost;
  std::string_view parent;
  while (!path.empty()) {
    const std::string_view name = take_until(path, '/');
    if (std::string found = container_of_component(parent, name); !found.empty()) innermost = std::move(found);
    parent = name;
  }
  return innermost;
}

bool names_container(std::string_view text, std::string_view container) {
  if (container.empty()) return false;
  if (text == container) return true;
  if (text.size() < kShortestPrefix || container.size() != kIdDigits || !is_hex(container)) return false;
  std::string lower(text);
  for (char& letter : lower) letter = letter >= 'A' && letter <= 'F' ? static_cast<char>(letter - 'A' + 'a') : letter;
  return container.starts_with(lower);
}

std::string_view short_container(std::string_view container) {
  return container.size() == kIdDigits && is_hex(container) ? container.substr(0, kShownDigits) : container;
}

CgroupPlace parse_cgroup(std::string_view text) {
  constexpr std::string_view kDeleted = " (deleted)";
  CgroupPlace place;
  bool has_unified = false;
  CgroupPlace other;
  while (!text.empty()) {
    std::string_view line = take_until(text, '\n');
    const std::string_view number = take_until(line, ':');
    const std::string_view controllers = take_until(line, ':');
    if (!line.starts_with('/')) continue;
    // Of a cgroup that was removed while a process that has ended was still in it.
    if (line.ends_with(kDeleted)) line.remove_suffix(kDeleted.size());
    std::string container = container_of_cgroup(line);
    if (number == "0" && controllers.empty()) {
      has_unified = true;
      place = {std::string(line), std::move(container)};
    } else if (other.container.empty() && !container.empty()) {
      other = {std::string(line), std::move(container)};
    }
  }
  if (!has_unified) return other;
  // Hybrid machines: version 1 controllers know the container, and the unified hierarchy may be left at its root.
  if (place.container.empty()) place.container = std::move(other.container);
  return place;
}

}  // namespace tracer::proc
