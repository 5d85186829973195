// SPDX-License-Identifier: Apache-2.0
// Reads any bytes as call frame information and checks what must hold of every table. The first byte says whether the
// rest is a whole ELF file or a section of one.

#include <bit>
#include <cstdint>
#include <cstdlib>

#include "tests/unit/unwind/made_image.h"
#include "unwind/table.h"

namespace tracer::unwind {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

Bytes file_of(std::span<const std::byte> input) {
  const unsigned mode = input.empty() ? 0 : static_cast<unsigned>(input[0]) % 5;
  const auto rest = input.subspan(input.empty() ? 0 : 1);
  if (mode == 0) return {rest.begin(), rest.end()};
  MadeImage image;
  image.found = static_cast<MadeImage::Found>(mode - 1);
  image.frames.assign(rest.begin(), rest.end());
  return image.bytes();
}

std::uint64_t bytes_of(const tr_rule& rule) { return std::bit_cast<std::uint64_t>(rule); }

void check_rows(std::span<const Row> rows, std::size_t file_size) {
  // No row takes less than a byte of the file, except for the packed ones.
  require(rows.size() <= file_size * 1032);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    require(rows[i].offset <= file_size);
    require(rows[i].rule.cfa <= TR_CFA_UNSUPPORTED && rows[i].rule.fp <= TR_FP_LOST);
    if (i == 0) continue;
    require(rows[i - 1].offset < rows[i].offset);
    require(bytes_of(rows[i - 1].rule) != bytes_of(rows[i].rule));
  }
  require(rows.empty() || rows.back().rule.cfa == TR_CFA_NONE);
}

void check_table(std::span<const Row> rows, const Table& table, const Rules& rules) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::uint64_t last = i + 1 < rows.size() ? rows[i + 1].offset - 1 : rows[i].offset + 1000;
    for (const std::uint64_t offset : {rows[i].offset, rows[i].offset + (last - rows[i].offset) / 2, last})
      require(bytes_of(rules.all()[find_rule(table, offset)]) == bytes_of(rows[i].rule));
  }
  require(rows.empty() || rows[0].offset == 0 || find_rule(table, rows[0].offset - 1) == Rules::kNone);
}

}  // namespace
}  // namespace tracer::unwind

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tracer::unwind;
  const Bytes file = file_of({reinterpret_cast<const std::byte*>(data), size});
  const auto rows = read_rows(file);
  if (!rows) return 0;
  check_rows(*rows, file.size());
  Rules rules;
  const auto table = build_table(*rows, rules);
  require(table.ok());
  check_table(*rows, *table, rules);
  return 0;
}
