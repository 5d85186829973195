// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "library/library.h"
#include "proc/maps.h"

namespace tracer::tracing {

/// An executable mapping of a file.
struct MappedLibrary {
  proc::Mapping mapping;
  library::Library* library = nullptr;
  proc::FileStamp stamp;  ///< of the file when it was last looked at
  /// How often the dynamic linker had announced a change when the mapping was first seen; it has been there since.
  std::uint32_t seen_at = 0xffffffff;
};

/// The libraries that one address space maps, as of the last reading. What an address on a stack means the kernel half
/// has looked up at the moment of the allocation; only where it could not, find() is asked.
///
/// Pure bookkeeping: reads nothing, owns no library. Used by the session thread.
class AddressSpace {
 public:
  struct Update {
    std::vector<proc::Mapping> appeared;  ///< to be identified and handed to add()
    std::vector<MappedLibrary> vanished;
  };

  /// Compares with what the kernel lists now. `is_same(MappedLibrary&)` is asked about lines that look the same:
  /// another file may lie at the same address under the same name and inode number.
  template <typename IsSame>
  Update update(const std::vector<proc::Mapping>& mappings, IsSame&& is_same);

  void add(MappedLibrary mapped) { mapped_.push_back(std::move(mapped)); }

  /// Ends every mapping: the process has exited or executed another program. Returns them.
  std::vector<MappedLibrary> end();

  bool maps(const library::Library& library) const;

  /// What is mapped at an address, nullptr for none.
  const MappedLibrary* find(std::uint64_t address) const;

  /// How often the dynamic linker had announced a change before the mappings were read and after all files were
  /// identified: what is true of code that runs holds from one announcement to the next.
  void set_announcements(std::uint32_t before, std::uint32_t after);

  /// What was mapped at an address after so many announcements: certain if the mappings were read just then, nullptr if
  /// not.
  const MappedLibrary* find_exactly(std::uint64_t address, std::uint32_t announcements) const;
  /// The same, also if it was mapped at an earlier reading and still is. Only a library that was replaced by another
  /// one and came back in between would not be noticed.
  const MappedLibrary* find_as_of(std::uint64_t address, std::uint32_t announcements) const;
  bool is_older_than(std::uint32_t announcements) const { return announcements_after_ < announcements; }

  const std::vector<MappedLibrary>& mapped() const { return mapped_; }

 private:
  std::vector<MappedLibrary> mapped_;
  std::vector<MappedLibrary> ended_;  ///< what was mapped at the end
  std::uint32_t announcements_before_ = 0;
  std::uint32_t announcements_after_ = 0;
};

bool is_same_line(const proc::Mapping& a, const proc::Mapping& b);

template <typename IsSame>
AddressSpace::Update AddressSpace::update(const std::vector<proc::Mapping>& mappings, IsSame&& is_same) {
  Update update;
  std::vector<MappedLibrary> kept;
  for (const proc::Mapping& mapping : mappings) {
    if (!mapping.executable || !mapping.is_file()) continue;
    const auto same_line = [&](const MappedLibrary& other) { return is_same_line(other.mapping, mapping); };
    const auto known = std::find_if(mapped_.begin(), mapped_.end(), same_line);
    if (known != mapped_.end() && is_same(*known)) {
      kept.push_back(std::move(*known));
      mapped_.erase(known);
      continue;
    }
    // The kernel hands the list out in pages: a mapping that is being split while we read can be in it twice.
    if (std::any_of(kept.begin(), kept.end(), same_line)) continue;
    if (std::any_of(update.appeared.begin(), update.appeared.end(),
                    [&](const proc::Mapping& other) { return is_same_line(other, mapping); }))
      continue;
    update.appeared.push_back(mapping);
  }
  update.vanished = std::move(mapped_);
  mapped_ = std::move(kept);
  return update;
}

}  // namespace tracer::tracing
