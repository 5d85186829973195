// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace tracer::symbols {

/// The Debian package that a file belongs to, by the lists of dpkg below `root` (an empty one: ours); empty when none
/// has it, as on other systems. Reads all lists: some tens of milliseconds.
std::string package_of(const std::string& root, const std::string& path);

}  // namespace tracer::symbols
