// SPDX-License-Identifier: Apache-2.0
#include "unwind/table.h"

#include <array>
#include <bit>

namespace tracer::unwind {
namespace {

constexpr std::uint64_t kBucketBytes = 1 << TR_BUCKET_SHIFT;
constexpr std::uint64_t kLargestRange = std::uint64_t{1} << 31;
constexpr int kSearchSteps = 8;  ///< as in bpf/table.bpf.h

/// Asks Rules for what it was not asked lately: neighbouring functions use the same few rules.
class RuleNumbers {
 public:
  explicit RuleNumbers(Rules& rules) : rules_(rules) {}

  std::uint16_t number_of(const tr_rule& rule) {
    const auto bytes = std::bit_cast<std::uint64_t>(rule);
    Known& known = known_[(bytes * 0x9e3779b97f4a7c15) >> 56];
    // Zero bytes are rule 0, so an element that was never set is right as well.
    if (known.rule != bytes) known = {bytes, rules_.number_of(rule)};
    return known.number;
  }

 private:
  struct Known {
    std::uint64_t rule = 0;
    std::uint16_t number = Rules::kNone;
  };
  Rules& rules_;
  std::array<Known, 256> known_;
};

/// Fills the buckets in front of the rows.
void index_rows(std::span<const Row> rows, std::uint32_t leading_rows, Table* table) {
  std::size_t row = 0;
  for (std::uint32_t bucket = 0; bucket <= table->bucket_count; ++bucket) {
    while (row < rows.size() && (rows[row].offset - table->low) >> TR_BUCKET_SHIFT < bucket) ++row;
    // A leading row lies in the first bucket.
    table->words[bucket] = bucket == 0 ? 0 : static_cast<std::uint32_t>(row) + leading_rows;
  }
}

}  // namespace

Result<Table> build_table(std::span<const Row> rows, Rules& rules) {
  Table table;
  if (rows.empty()) return table;
  table.low = rows.front().offset & ~(kBucketBytes - 1);
  if (rows.back().offset - table.low >= kLargestRange)
    return Error(ErrorKind::kUnsupported, "unwind table over more than 2 GiB of a file");
  table.bucket_count = static_cast<std::uint32_t>((rows.back().offset - table.low) >> TR_BUCKET_SHIFT) + 1;
  // So that every offset has a row at or before it.
  const std::uint32_t leading_rows = rows.front().offset == table.low ? 0 : 1;
  table.words.resize(table.bucket_count + 1);
  index_rows(rows, leading_rows, &table);
  table.words.reserve(table.words.size() + leading_rows + rows.size());
  if (leading_rows != 0) table.words.push_back(TR_ROW(table.low, Rules::kNone));
  RuleNumbers numbers(rules);
  for (const Row& row : rows) table.words.push_back(TR_ROW(row.offset, numbers.number_of(row.rule)));
  return table;
}

std::uint16_t find_rule(std::uint64_t table_low, std::uint32_t bucket_count, std::span<const std::uint32_t> words,
                        std::uint64_t offset) {
  const std::uint64_t bucket = (offset - table_low) >> TR_BUCKET_SHIFT;
  if (offset < table_low || bucket >= bucket_count) return Rules::kNone;
  const std::uint32_t* rows = words.data() + bucket_count + 1;
  std::uint32_t low = words[bucket];
  std::uint32_t high = words[bucket + 1];
  // The last row of the bucket at or before the offset; without one, the row before the bucket, which is not compared:
  // its offset may be in another 64 KiB.
  for (int step = 0; step < kSearchSteps && low < high; ++step) {
    const std::uint32_t middle = low + ((high - low) >> 1);
    if (TR_ROW_OFFSET(rows[middle]) <= (offset & 0xffff))
      low = middle + 1;
    else
      high = middle;
  }
  return low != 0 ? TR_ROW_RULE(rows[low - 1]) : Rules::kNone;
}

}  // namespace tracer::unwind
