// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "bpf/abi/unwind.h"
#include "unwind/rules.h"

namespace tracer::unwind {

/// From `offset` (in the file) up to the next row the rule holds.
struct Row {
  std::uint64_t offset = 0;
  tr_rule rule = {};
};

/// What the kernel half looks up: see bpf/abi/unwind.h for the layout of `words`.
struct Table {
  std::uint64_t low = 0;
  std::uint32_t bucket_count = 0;
  std::vector<std::uint32_t> words;

  std::size_t row_count() const { return words.size() - bucket_count - 1; }
};

/// The rows of an ELF file (`file`: its bytes, as mapped from disk; or a vdso's image), sorted by offset, none twice;
/// rules of TR_CFA_NONE mark where coverage ends. Reads .eh_frame, found by its section or by PT_GNU_EH_FRAME, or
/// .debug_frame (also a compressed one) when there is no .eh_frame. Only executable segments count. No row for a file
/// without any. A malformed file fails with kCorrupt or yields what could be read; it is never read out of bounds.
Result<std::vector<Row>> read_rows(std::span<const std::byte> file);

/// Compact form of `rows`; no words when there are none. Fails when the covered range needs more than 2^31 bytes.
Result<Table> build_table(std::span<const Row> rows, Rules& rules);

/// The number of the rule that holds at `offset`, found as the kernel half finds it. `words` as in Table.
std::uint16_t find_rule(std::uint64_t low, std::uint32_t bucket_count, std::span<const std::uint32_t> words,
                        std::uint64_t offset);
inline std::uint16_t find_rule(const Table& table, std::uint64_t offset) {
  return find_rule(table.low, table.bucket_count, table.words, offset);
}

}  // namespace tracer::unwind
