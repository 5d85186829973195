// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "library/library.h"
#include "proc/maps.h"

namespace tracer::library {

/// Libraries already seen, one entry per file content.
///
/// A path is not a key: an upgrade replaces the file behind it while old processes keep the old inode mapped, and an
/// inode number is reused after unlink. An entry is found by (device, inode, generation) of the file that the mapping
/// itself leads to; if the build id of a file that is mapped again differs from the entry's (overwritten in place), it
/// is another library.
///
/// Owned by the session thread. Entries live as long as the cache, so references stay valid; a retired one holds no
/// file.
class LibraryCache {
 public:
  /// `wanted` are the functions whose addresses inspection keeps; the strings must outlive the cache.
  explicit LibraryCache(std::vector<std::string_view> wanted) : wanted_(std::move(wanted)) {}

  /// The library behind an open file, at least inspected. `path` is remembered when the library is new.
  Result<Library*> find_or_inspect(UniqueFd file, const std::string& path);

  /// Every entry, by module id.
  const std::vector<std::unique_ptr<Library>>& libraries() const { return libraries_; }

 private:
  Library& add(const FileIdentity& identity, const std::string& path, UniqueFd file);
  void inspect(Library& library);

  std::vector<std::string_view> wanted_;
  std::vector<std::unique_ptr<Library>> libraries_;
  std::map<FileIdentity, Library*> by_identity_;
};

}  // namespace tracer::library
