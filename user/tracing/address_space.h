// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "library/library.h"
#include "proc/maps.h"

namespace tracer::tracing {

/// A range of executable addresses, and in which epochs of its address space it was seen there.
struct ExecutableRange {
  proc::Mapping mapping;
  library::Library* library = nullptr;  ///< null for code without a file: [vdso], JIT
  std::uint32_t last_epoch = 0;         ///< the last epoch in which the kernel listed it
  bool live = true;
};

/// What an address means.
struct ResolvedAddress {
  library::Library* library = nullptr;
  std::uint64_t module_address = 0;  ///< ELF vaddr; the address itself without a library
};

/// The executable mappings of one address space, past ones included.
///
/// The kernel half counts an epoch per address space, which advances when libraries may have been unmapped; every stack
/// says in which epoch it was taken. So an address that has meant two libraries in turn still means the right one for
/// each stack:
///
///     epoch 0   libA at 0x7f00…    stack (epoch 0) → libA
///     epoch 2   libB at 0x7f00…    stack (epoch 2) → libB
///
/// Pure bookkeeping: reads nothing, owns no library. Used by the session thread.
class AddressSpace {
 public:
  struct Update {
    std::vector<proc::Mapping> appeared;  ///< to be identified and handed to add()
    std::vector<ExecutableRange> vanished;
  };

  /// Compares with what the kernel lists now, in `epoch`. A range is known only if the whole line is the same and no
  /// library can have been unmapped since; `is_same` is asked about lines that are the same across an epoch.
  template <typename IsSame>
  Update update(const std::vector<proc::Mapping>& mappings, std::uint32_t epoch, IsSame&& is_same);

  void add(const proc::Mapping& mapping, library::Library* library, std::uint32_t epoch);

  /// Ends every range: the process has exited or executed another program in `epoch`. Returns those that were live.
  std::vector<ExecutableRange> end(std::uint32_t epoch);

  /// What a forked child begins with: the live ranges, in epoch 0 of an address space of its own.
  AddressSpace forked() const;

  std::optional<ResolvedAddress> resolve(std::uint64_t address, std::uint32_t epoch) const;

  const std::vector<ExecutableRange>& ranges() const { return ranges_; }
  /// The epoch of the last update().
  std::uint32_t epoch() const { return epoch_; }

 private:
  std::vector<ExecutableRange> ranges_;
  std::uint32_t epoch_ = 0;
};

bool is_same_line(const proc::Mapping& a, const proc::Mapping& b);

template <typename IsSame>
AddressSpace::Update AddressSpace::update(const std::vector<proc::Mapping>& mappings, std::uint32_t epoch,
                                          IsSame&& is_same) {
  Update update;
  std::vector<bool> listed(ranges_.size(), false);
  for (const proc::Mapping& mapping : mappings) {
    if (!mapping.executable) continue;
    bool known = false;
    for (std::size_t i = 0; i < ranges_.size() && !known; ++i) {
      ExecutableRange& range = ranges_[i];
      if (!range.live || !is_same_line(range.mapping, mapping)) continue;
      known = listed[i] = listed[i] || range.last_epoch == epoch || is_same(range);
      if (known) range.last_epoch = epoch;
    }
    // The kernel hands the list out in pages: a mapping that is being split while we read can be in it twice.
    known = known || std::ranges::any_of(update.appeared,
                                         [&](const proc::Mapping& other) { return is_same_line(other, mapping); });
    if (!known) update.appeared.push_back(mapping);
  }
  for (std::size_t i = 0; i < listed.size(); ++i) {
    if (!ranges_[i].live || listed[i]) continue;
    ranges_[i].live = false;
    update.vanished.push_back(ranges_[i]);
  }
  epoch_ = epoch;
  return update;
}

}  // namespace tracer::tracing
