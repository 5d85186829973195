// SPDX-License-Identifier: Apache-2.0
#include "proc/users.h"

#include <fmt/format.h>
#include <pwd.h>

#include <cerrno>
#include <vector>

namespace tracer::proc {
namespace {

// An entry that is larger is no entry: what sysconf(_SC_GETPW_R_SIZE_MAX) names is a first guess, not a bound.
constexpr std::size_t kFirstBuffer = 1024;
constexpr std::size_t kLargestBuffer = 1 << 20;

/// Calls getpwnam_r or getpwuid_r with as much room as the entry needs, and hands the entry to `use`.
template <typename Ask, typename Use>
void with_entry(Ask&& ask, Use&& use) {
  for (std::vector<char> buffer(kFirstBuffer); buffer.size() <= kLargestBuffer; buffer.resize(buffer.size() * 4)) {
    passwd entry{};
    passwd* found = nullptr;
    const int failed = ask(&entry, buffer.data(), buffer.size(), &found);
    if (failed == ERANGE) continue;
    if (found != nullptr) use(*found);
    return;
  }
}

}  // namespace

std::optional<uid_t> find_user(const std::string& name) {
  std::optional<uid_t> uid;
  with_entry([&](auto... where) { return ::getpwnam_r(name.c_str(), where...); },
             [&](const passwd& entry) { uid = entry.pw_uid; });
  return uid;
}

const std::string& UserNames::name_of(uid_t uid) {
  const auto [known, is_new] = names_.try_emplace(uid);
  if (!is_new) return known->second;
  std::string& name = known->second;
  with_entry([&](auto... where) { return ::getpwuid_r(uid, where...); },
             [&](const passwd& entry) { name = entry.pw_name; });
  if (name.empty()) name = fmt::format("uid {}", uid);
  return name;
}

}  // namespace tracer::proc
