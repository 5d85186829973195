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
  return host;
}

}  // namespace tracer::report
