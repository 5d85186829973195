// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace tracer::report {

/// The machine a report was taken on.
struct Host {
  std::string name;
  std::string arch;
  std::string kernel;
  std::string boot_id;     ///< tells runs before and after a reboot apart; empty when /proc does not say
  std::uint64_t cpus = 0;  ///< online
  std::uint64_t page_bytes = 0;
  std::uint64_t memory_bytes = 0;  ///< all of it
};

Host this_host();

}  // namespace tracer::report
