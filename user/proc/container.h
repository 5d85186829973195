// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace tracer::proc {

/// The container that a cgroup belongs to, by the names that docker, containerd, Kubernetes, podman, CRI-O, lxc and
/// systemd-nspawn give to cgroups: an id of 64 hex digits, or a name. Of nested ones the innermost; empty when there is
/// none. Says nothing of a container without a cgroup of its own.
std::string container_of_cgroup(std::string_view path);

/// The same for one component of such a path and the one before it: the container whose topmost cgroup it is.
std::string container_of_component(std::string_view parent, std::string_view name);

/// Whether a user means this container: by its id, 6 or more of the id's first digits in any case, or its name.
bool names_container(std::string_view text, std::string_view container);

/// The first 12 digits of an id, as container tools show it; a name as it is.
std::string_view short_container(std::string_view container);

/// Where a process is in the cgroup hierarchies: what /proc/PID/cgroup says.
struct CgroupPlace {
  std::string path;       ///< in the cgroup2 hierarchy; on machines without it in that which shows the container
  std::string container;  ///< see container_of_cgroup()
};

/// Reads the text of /proc/PID/cgroup (cgroups(7)). Lines that do not look like ones are passed over.
CgroupPlace parse_cgroup(std::string_view text);

}  // namespace tracer::proc
