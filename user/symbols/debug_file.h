// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "symbols/elf_file.h"

namespace tracer::symbols {

/// What is known about a module when its separate debug file is searched.
struct DebugFileQuery {
  std::string module_path;
  std::string root;      ///< searched first, then the root of this process
  std::string build_id;  ///< lower-case hex; empty: not searched by
  std::optional<DebugLink> debug_link;
};

/// Opens a regular file as a process with another root directory sees it: absolute symbolic links stay below `root`.
/// An empty root is the one of this process.
Result<UniqueFd> open_below(const std::string& root, const std::string& path);

/// The separate debug file of a module:
///   /usr/lib/debug/.build-id/xx/rest.debug, if the build id inside is the one asked for; or by .gnu_debuglink, if the
///   CRC fits: in the module's directory, in .debug/ below it, in /usr/lib/debug/<directory>.
/// kNotFound without one.
Result<ElfFile> find_debug_file(const DebugFileQuery& query);

/// The file that a debug file shares with others, as .gnu_debugaltlink names it: by build id as above, then by name,
/// which may be relative to the directory of the debug file. kNotFound without one that has that build id.
Result<ElfFile> find_shared_file(const std::string& root, const ElfFile& debug_file, const std::string& name,
                                 const std::string& build_id);

}  // namespace tracer::symbols
