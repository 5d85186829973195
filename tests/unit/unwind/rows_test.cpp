// SPDX-License-Identifier: Apache-2.0
// Call frame information made by hand: each rule, and nonsense.
#include <gtest/gtest.h>

#include <initializer_list>
#include <random>

#include "made_image.h"
#include "unwind/table.h"

namespace tracer::unwind {
namespace {

constexpr std::uint64_t kFunction = 0x100;  // offset of the function in the code
constexpr std::uint32_t kFunctionSize = 0x80;

/// A section with one description for all functions ("CIE") and one per function ("FDE").
class Section {
 public:
  explicit Section(const std::string& augmentation = "zR", std::initializer_list<int> initial = {0x0c, 7, 8, 0x90, 1}) {
    ByteWriter entry;
    entry.number<std::uint32_t>(0).add({1}).text(augmentation);
    entry.add({1, 0x78, 16});                                 // code and data alignment (-8), return address column
    if (augmentation.starts_with("z")) entry.add({1, 0x1b});  // pc-relative, four bytes
    entry.add(initial);
    append(entry);
  }

  Section& function(std::initializer_list<int> program, std::uint64_t at = kFunction,
                    std::uint32_t size = kFunctionSize) {
    const std::size_t start = bytes_.size();
    ByteWriter entry;
    entry.number<std::uint32_t>(static_cast<std::uint32_t>(start + 4));  // back to the CIE
    const std::uint64_t here = MadeImage::kFrames + start + 8;
    entry.number<std::int32_t>(static_cast<std::int32_t>(MadeImage::kCode + at - here));
    entry.number<std::uint32_t>(size).add({0}).add(program);
    append(entry);
    return *this;
  }

  Result<std::vector<Row>> rows(MadeImage::Found found = MadeImage::Found::kBySection) const {
    MadeImage image;
    image.found = found;
    image.frames = bytes_;
    image.frames.insert(image.frames.end(), 4, std::byte{0});
    return read_rows(image.bytes());
  }
  Bytes bytes_;

 private:
  void append(const ByteWriter& entry) {
    Bytes body = entry.bytes();
    while (body.size() % 8 != 4) body.push_back(std::byte{0});  // DW_CFA_nop
    const Bytes length = ByteWriter().number(static_cast<std::uint32_t>(body.size())).bytes();
    bytes_.insert(bytes_.end(), length.begin(), length.end());
    bytes_.insert(bytes_.end(), body.begin(), body.end());
  }
};

std::uint64_t offset(std::uint64_t in_function) { return MadeImage::kCodeOffset + kFunction + in_function; }

/// The rule that holds at a place of the function.
tr_rule rule_at(const Section& section, std::uint64_t in_function) {
  const Result<std::vector<Row>> rows = section.rows();
  EXPECT_TRUE(rows.ok());
  tr_rule found{};
  for (const Row& row : *rows) {
    if (row.offset <= offset(in_function)) found = row.rule;
  }
  return found;
}

TEST(RowsTest, TheStackPointerMovesByPushAndPop) {
  const Section section =
      Section().function({0x41, 0x0e, 16, 0x86, 2, 0x44, 0x0e, 48, 0x0a, 0x48, 0x0e, 8, 0xc6, 0x41, 0x0b});
  const tr_rule at_entry = rule_at(section, 0);
  EXPECT_EQ(at_entry.cfa, TR_CFA_SP);
  EXPECT_EQ(at_entry.cfa_offset, 8);
  EXPECT_EQ(at_entry.fp, TR_FP_SAME);
  const tr_rule pushed = rule_at(section, 1);
  EXPECT_EQ(pushed.cfa_offset, 16);
  EXPECT_EQ(pushed.fp, TR_FP_CFA);
  EXPECT_EQ(pushed.fp_offset, -16);
  EXPECT_EQ(rule_at(section, 5).cfa_offset, 48);
  const tr_rule returning = rule_at(section, 13);
  EXPECT_EQ(returning.cfa_offset, 8);
  EXPECT_EQ(returning.fp, TR_FP_SAME);
  EXPECT_EQ(rule_at(section, 14).cfa_offset, 48) << "what was remembered before the return";
}

TEST(RowsTest, TheFramePointerMayCarryTheFrame) {
  const tr_rule rule = rule_at(Section().function({0x44, 0x0c, 6, 16, 0x86, 2}), 10);
  EXPECT_EQ(rule.cfa, TR_CFA_FP);
  EXPECT_EQ(rule.cfa_offset, 16);
}

TEST(RowsTest, RealignedFramesAreDereferenced) {
  // GCC's DRAP: the CFA is stored at rbp - 8, rbp where rbp points.
  const tr_rule rule = rule_at(Section().function({0x44, 0x0f, 3, 0x76, 0x78, 0x06, 0x10, 6, 2, 0x76, 0}), 10);
  EXPECT_EQ(rule.cfa, TR_CFA_FP_DEREF);
  EXPECT_EQ(rule.cfa_offset, -8);
  EXPECT_EQ(rule.fp, TR_FP_FP);
  EXPECT_EQ(rule.fp_offset, 0);
  const tr_rule more = rule_at(Section().function({0x44, 0x0f, 5, 0x77, 24, 0x06, 0x23, 8}), 10);
  EXPECT_EQ(more.cfa, TR_CFA_SP_DEREF);
  EXPECT_EQ(more.cfa_offset, 24);
  EXPECT_EQ(more.add8, 1);
}

TEST(RowsTest, TheProcedureLinkageTableHasAnExpressionOfItsOwn) {
  const tr_rule rule =
      rule_at(Section().function({0x44, 0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22}), 10);
  EXPECT_EQ(rule.cfa, TR_CFA_PLT);
  EXPECT_EQ(rule.cfa_offset, 11);
}

TEST(RowsTest, AnUndefinedReturnAddressIsTheEnd) {
  EXPECT_EQ(rule_at(Section().function({0x07, 16}), 3).cfa, TR_CFA_END);
  // Also for a return address that was put there by hand, and is looked up by the byte before it.
  const Result<std::vector<Row>> rows = Section().function({0x07, 16}).rows();
  ASSERT_FALSE(rows->empty());
  EXPECT_EQ(rows->front().offset, offset(0) - 1);
}

TEST(RowsTest, ASignalFrameIsMarkedByTheAugmentation) {
  // As glibc's: the interrupted rsp, rip and rbp lie 160, 168 and 120 bytes into the ucontext.
  const Section section = Section("zRS").function(
      {0x0f, 4, 0x77, 0xa0, 0x01, 0x06, 0x10, 6, 3, 0x77, 0xf8, 0x00, 0x10, 16, 3, 0x77, 0xa8, 0x01});
  EXPECT_EQ(rule_at(section, 3).cfa, TR_CFA_SIGNAL);
  EXPECT_EQ(rule_at(section, 3).cfa_offset, 0);
}

TEST(RowsTest, WhatCannotBeExpressedIsUnsupported) {
  EXPECT_EQ(rule_at(Section().function({0x0c, 3, 16}), 3).cfa, TR_CFA_UNSUPPORTED) << "rbx";
  EXPECT_EQ(rule_at(Section().function({0x90, 2}), 3).cfa, TR_CFA_UNSUPPORTED) << "return address at CFA - 16";
  EXPECT_EQ(rule_at(Section().function({0x0f, 4, 0x77, 8, 0x06, 0x06}), 3).cfa, TR_CFA_UNSUPPORTED);
}

TEST(RowsTest, AnUnknownPlaceOfTheFramePointerIsLost) {
  EXPECT_EQ(rule_at(Section().function({0x07, 6}), 3).fp, TR_FP_LOST);
  EXPECT_EQ(rule_at(Section().function({0x05, 6, 0xff, 0xff, 0x7f}), 3).fp, TR_FP_LOST) << "too far";
}

TEST(RowsTest, CoverageEndsBehindAFunctionUnlessOneFollowsSoon) {
  const Result<std::vector<Row>> one = Section().function({}).rows();
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(one->back().offset, offset(kFunctionSize));
  EXPECT_EQ(one->back().rule.cfa, TR_CFA_NONE);
  const Result<std::vector<Row>> two = Section().function({}).function({}, kFunction + kFunctionSize + 8).rows();
  for (const Row& row : *two) EXPECT_NE(row.offset, offset(kFunctionSize));
}

TEST(RowsTest, ASignalTrampolineIsKnownByItsInstructions) {
  MadeImage image;
  image.frames = Section().function({}).bytes_;
  const std::uint8_t code[]{0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05};
  std::memcpy(image.code.data() + 0x400, code, sizeof(code));
  const Result<std::vector<Row>> rows = read_rows(image.bytes());
  ASSERT_TRUE(rows.ok());
  bool is_found = false;
  for (const Row& row : *rows)
    is_found |= row.rule.cfa == TR_CFA_SIGNAL && row.offset <= MadeImage::kCodeOffset + 0x400;
  EXPECT_TRUE(is_found);
}

TEST(RowsTest, EverySectionIsFound) {
  for (const auto found : {MadeImage::Found::kBySection, MadeImage::Found::kByHeader}) {
    const Section section = Section().function({0x44, 0x0e, 16});
    const Result<std::vector<Row>> rows = section.rows(found);
    ASSERT_TRUE(rows.ok());
    EXPECT_GE(rows->size(), found == MadeImage::Found::kBySection ? 3U : 1U);
  }
}

TEST(RowsTest, AFileWithoutAnyHasNoRows) {
  MadeImage image;
  const Result<std::vector<Row>> rows = read_rows(image.bytes());
  ASSERT_TRUE(rows.ok());
  EXPECT_TRUE(rows->empty());
}

TEST(RowsTest, NonsenseIsNoElfFile) {
  EXPECT_FALSE(read_rows({}).ok());
  EXPECT_FALSE(read_rows(Bytes(4096)).ok());
}

TEST(RowsTest, DamageNeverReachesOutside) {
  MadeImage image;
  image.frames = Section().function({0x41, 0x0e, 16, 0x86, 2, 0x44, 0x0e, 48}).bytes_;
  const Bytes whole = image.bytes();
  std::mt19937 random(7);
  Rules rules;
  for (int i = 0; i < 20'000; ++i) {
    Bytes damaged = whole;
    for (auto n = random() % 6; n > 0; --n) damaged[random() % damaged.size()] = static_cast<std::byte>(random());
    if (random() % 4 == 0) damaged.resize(random() % damaged.size());
    const Result<std::vector<Row>> rows = read_rows(damaged);
    if (!rows) continue;
    const Result<Table> table = build_table(*rows, rules);
    if (table) (void)find_rule(*table, random() % (1U << 20));
  }
}

}  // namespace
}  // namespace tracer::unwind
