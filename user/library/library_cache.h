// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "library/library.h"

namespace tracer::library {

/// Libraries already seen, one entry per file content.
///
/// A path is not a key: an upgrade replaces the file behind it while old processes keep the old inode mapped, and an
/// inode number is reused after unlink. The kernel half numbers what it meets in mappings by device, inode, generation,
/// size and change time; an entry is found by that number. Several numbers can be one entry: a file that was only
/// renamed, or whose mode was changed, is the same by its build id.
///
/// Owned by the session thread. Entries live as long as the cache, so references stay valid; a retired one holds no
/// file.
class LibraryCache {
 public:
  /// `wanted` are the functions whose addresses inspection keeps; the strings must outlive the cache.
  explicit LibraryCache(std::vector<std::string_view> wanted) : wanted_(std::move(wanted)) {}

  /// The library that the kernel half knows under `number`, whatever its state; nullptr when it is new.
  Library* find(std::uint32_t number) const;

  /// The library behind an open file, at least inspected. `path` is remembered when the library is new. nullptr: the
  /// number stands for another content than before, which the kernel half could not notice (written again within a tick
  /// of the kernel's clock, at the same size); the caller has to make it number the file anew.
  Library* find_or_inspect(std::uint32_t number, const FileIdentity& identity, UniqueFd file, const std::string& path);

  /// A library that was gone before anybody could open it: one that is known by its inode and times, or else a new one,
  /// retired from its first day.
  Library& add_lost(std::uint32_t number, const FileIdentity& identity, const std::string& path);

  /// Every entry, by module id.
  const std::vector<std::unique_ptr<Library>>& libraries() const { return libraries_; }

 private:
  Library& add(const FileIdentity& identity, const std::string& path, UniqueFd file);
  Library* find_same_content(const FileIdentity& identity, const std::string& build_id) const;
  std::optional<elf::ElfImage> inspect(const UniqueFd& file, const std::string& path) const;

  std::vector<std::string_view> wanted_;
  std::vector<std::unique_ptr<Library>> libraries_;
  std::unordered_map<std::uint32_t, Library*> by_number_;
};

}  // namespace tracer::library
