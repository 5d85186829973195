// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>

namespace tracer::proc {

/// The id of a user of this machine; nothing when there is none of that name.
std::optional<uid_t> find_user(const std::string& name);

/// Names of users, each asked for once: an answer may come over a network. Used by one thread.
class UserNames {
 public:
  /// "uid 1234" for an id without a name. Stays valid as long as this object.
  const std::string& name_of(uid_t uid);

 private:
  std::map<uid_t, std::string> names_;
};

}  // namespace tracer::proc
