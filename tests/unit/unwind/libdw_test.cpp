// SPDX-License-Identifier: Apache-2.0
// What real files say, against elfutils' own reading of them.
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <gelf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>

#include "base/unique_fd.h"
#include "unwind/file_bytes.h"
#include "unwind/table.h"

namespace tracer::unwind {
namespace {

constexpr int kRbp = 6;
constexpr int kRsp = 7;
constexpr std::size_t kMostSamples = 30'000;

struct Operations {
  Dwarf_Op memory[3]{};
  Dwarf_Op* list = nullptr;
  std::size_t count = 0;
};

/// "register + offset" of an expression of one operation.
bool is_register(const Operations& ops, int* number, std::int64_t* offset) {
  if (ops.count != 1) return false;
  if (ops.list[0].atom >= DW_OP_breg0 && ops.list[0].atom <= DW_OP_breg31) {
    *number = ops.list[0].atom - DW_OP_breg0;
    *offset = static_cast<std::int64_t>(ops.list[0].number);
    return true;
  }
  if (ops.list[0].atom != DW_OP_bregx) return false;
  *number = static_cast<int>(ops.list[0].number);
  *offset = static_cast<std::int64_t>(ops.list[0].number2);
  return true;
}

/// "stored at CFA + offset".
bool is_at_cfa(const Operations& ops, std::int64_t* offset) {
  if (ops.count == 0 || ops.list[0].atom != DW_OP_call_frame_cfa) return false;
  *offset = ops.count == 1 ? 0 : static_cast<std::int64_t>(ops.list[1].number);
  return ops.count <= 2;
}

/// What is wrong with `rule`, given what elfutils says; empty if nothing is.
std::string difference(Dwarf_Frame* frame, const tr_rule& rule) {
  Dwarf_Addr start = 0, end = 0;
  bool is_signal = false;
  const int return_column = dwarf_frame_info(frame, &start, &end, &is_signal);
  if (is_signal) return rule.cfa == TR_CFA_SIGNAL ? "" : "no signal frame";
  Operations ra, cfa, fp;
  if (dwarf_frame_register(frame, return_column, ra.memory, &ra.list, &ra.count) != 0) return "?";
  if (ra.count == 0 && ra.list != nullptr) return rule.cfa == TR_CFA_END ? "" : "no end";
  std::int64_t ra_offset = 0;
  if (!is_at_cfa(ra, &ra_offset) || ra_offset != -8) return rule.cfa == TR_CFA_UNSUPPORTED ? "" : "return address";
  if (dwarf_frame_cfa(frame, &cfa.list, &cfa.count) != 0) return "?";
  int number = 0;
  std::int64_t offset = 0;
  if (is_register(cfa, &number, &offset)) {
    const int kind = number == kRsp ? TR_CFA_SP : number == kRbp ? TR_CFA_FP : TR_CFA_UNSUPPORTED;
    if (rule.cfa != kind) return "CFA's register";
    if (kind == TR_CFA_UNSUPPORTED) return "";
    if (rule.cfa_offset != offset) return "CFA's offset";
  } else {
    const bool is_complex = rule.cfa == TR_CFA_PLT || rule.cfa == TR_CFA_SP_DEREF || rule.cfa == TR_CFA_FP_DEREF ||
                            rule.cfa == TR_CFA_UNSUPPORTED;
    if (!is_complex) return "CFA's expression";
    if (rule.cfa == TR_CFA_UNSUPPORTED) return "";
  }
  if (dwarf_frame_register(frame, kRbp, fp.memory, &fp.list, &fp.count) != 0) return "?";
  if (fp.count == 0) {
    const bool is_undefined = fp.list != nullptr;
    // Not said is the same value.
    return rule.fp == TR_FP_SAME || (is_undefined && rule.fp == TR_FP_LOST) ? "" : "rbp";
  }
  if (is_at_cfa(fp, &offset)) return rule.fp == TR_FP_CFA && rule.fp_offset == offset ? "" : "rbp's place";
  if (is_register(fp, &number, &offset) && number == kRbp)
    return rule.fp == TR_FP_FP && rule.fp_offset == offset ? "" : "rbp's place by rbp";
  return rule.fp == TR_FP_LOST ? "" : "rbp's expression";
}

class LibdwTest : public testing::TestWithParam<const char*> {
 protected:
  static std::uint64_t address_of(Elf* elf, std::uint64_t offset) {
    std::size_t count = 0;
    elf_getphdrnum(elf, &count);
    for (std::size_t i = 0; i < count; ++i) {
      GElf_Phdr segment;
      if (gelf_getphdr(elf, static_cast<int>(i), &segment) == nullptr || segment.p_type != PT_LOAD) continue;
      if (offset >= segment.p_offset && offset - segment.p_offset < segment.p_filesz)
        return offset - segment.p_offset + segment.p_vaddr;
    }
    return 0;
  }
};

TEST_P(LibdwTest, SaysTheSame) {
  const UniqueFd file(::open(GetParam(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(file.valid()) << GetParam();
  const Result<FileBytes> bytes = FileBytes::read(file.get());
  ASSERT_TRUE(bytes.ok());
  const Result<std::vector<Row>> rows = read_rows(bytes->bytes());
  ASSERT_TRUE(rows.ok());
  ASSERT_GT(rows->size(), 100U);
  Rules rules;
  const Result<Table> table = build_table(*rows, rules);
  ASSERT_TRUE(table.ok());

  elf_version(EV_CURRENT);
  Elf* elf = elf_begin(file.get(), ELF_C_READ, nullptr);
  Dwarf_CFI* cfi = dwarf_getcfi_elf(elf);
  ASSERT_NE(cfi, nullptr) << dwarf_errmsg(-1);
  std::mt19937_64 random(11);
  const std::uint64_t first = rows->front().offset, size = rows->back().offset - first;
  std::size_t compared = 0, different = 0;
  std::string examples;
  for (std::size_t i = 0; i < kMostSamples; ++i) {
    // Where rules begin, one byte before that, and anywhere.
    std::uint64_t offset = first + random() % size;
    if (i % 3 != 0) offset = (*rows)[random() % rows->size()].offset - i % 3 + 1;
    const std::uint64_t address = address_of(elf, offset);
    Dwarf_Frame* frame = nullptr;
    if (address == 0 || dwarf_cfi_addrframe(cfi, address, &frame) != 0) continue;
    ++compared;
    const std::string wrong = difference(frame, rules.all()[find_rule(*table, offset)]);
    std::free(frame);
    if (wrong.empty()) continue;
    if (++different <= 5) examples += std::to_string(address) + ": " + wrong + "\n";
  }
  dwarf_cfi_end(cfi);
  elf_end(elf);
  EXPECT_GT(compared, std::min(rows->size(), kMostSamples / 4));
  EXPECT_EQ(different, 0U) << "of " << compared << "\n" << examples;
}

INSTANTIATE_TEST_SUITE_P(Files, LibdwTest,
                         testing::Values("/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2",
                                         "/usr/lib/x86_64-linux-gnu/libstdc++.so.6", "/lib/x86_64-linux-gnu/libm.so.6",
                                         "/usr/bin/python3", "/usr/bin/cmake", "/proc/self/exe"));

}  // namespace
}  // namespace tracer::unwind
