// SPDX-License-Identifier: Apache-2.0
#include "report/host.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>

namespace tracer::report {

Host this_host() {
  Host host;
  utsname names{};
  if (::uname(&names) == 0) {
    host.name = names.nodename;
    host.arch = names.machine;
    host.kernel = names.release;
  }
  std::ifstream("/proc/sys/kernel/random/boot_id") >> host.boot_id;
  const long cpus = ::sysconf(_SC_NPROCESSORS_ONLN);
  host.cpus = cpus > 0 ? static_cast<std::uint64_t>(cpus) : 0;
  const long page = ::sysconf(_SC_PAGESIZE);
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  if (page > 0) host.page_bytes = static_cast<std::uint64_t>(page);
  if (pages > 0) host.memory_bytes = static_cast<std::uint64_t>(pages) * host.page_bytes;
  return host;
}

}  // namespace tracer::report
