// SPDX-License-Identifier: Apache-2.0
#include "proc/process_filter.h"

namespace tracer::proc {

bool ProcessFilter::empty() const {
  return comms.empty() && users.empty() && cgroups.empty() && containers.empty() && excluded_pids.empty() && !pidns;
}

std::string comm_glob(std::string_view text) {
  std::string glob;
  std::size_t characters = 0;
  for (const char next : text) {
    if (next == '*') {
      if (!glob.ends_with('*')) glob += next;
    } else if (characters == kLongestComm) {
      break;
    } else {
      glob += next;
      ++characters;
    }
  }
  return glob;
}

}  // namespace tracer::proc
