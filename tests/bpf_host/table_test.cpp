// SPDX-License-Identifier: Apache-2.0
// The walk by unwind tables: every kind of rule, and what happens when a table says nonsense.
#include <array>
#include <cstring>
#include <random>

#include "tests/bpf_host/harness.h"

namespace tracer::bpf_host {
namespace {

constexpr std::uint64_t kLibc = 0x7ffff7e00000;
constexpr std::uint64_t kProgram = 0x555555550000;
constexpr std::uint64_t kFileOffset = 0x1000;
constexpr std::uint64_t kSize = 0x100000;

host_mapping file_at(std::uint64_t start, std::uint64_t inode, const char* path) {
  return {.start = start,
          .end = start + kSize,
          .file_offset = kFileOffset,
          .executable = 1,
          .has_file = 1,
          .key = {.inode = inode, .changed_ns = 5, .size = 4096, .device = 8 << 20 | 1, .generation = 77},
          .path = path};
}

tr_rule rule(tr_cfa cfa, std::int32_t offset, tr_fp fp = TR_FP_SAME, std::int16_t fp_offset = 0, unsigned add8 = 0) {
  tr_rule out{};
  out.cfa = cfa;
  out.fp = fp & 15U;
  out.add8 = add8 & 15U;
  out.fp_offset = fp_offset;
  out.cfa_offset = offset;
  return out;
}
const tr_rule kEnd = rule(TR_CFA_END, 0);

/// One program whose functions are described by rows; the functions are 256 bytes apart from offset 0x1000 on.
class TableTest : public HostTest {
 protected:
  static constexpr std::uint32_t kModule = 2;  // libc is met first, as the probed function's file

  TableTest() {
    config_.use_tables = 1;
    kernel_.set_capacity("unwind_words", 16384);
    kernel_.mappings[kTgid] = {file_at(kLibc, 1, "/lib/libc.so.6"), file_at(kProgram, 2, "/bin/program")};
    main_.sp = main_.stack_start() + 0x2000;
  }

  /// Function `n` of the program has this rule everywhere.
  void describe(std::size_t n, const tr_rule& what) {
    if (rules_.size() <= n) rules_.resize(n + 1, tr_rule{});
    rules_[n] = what;
  }
  /// As user space writes a table.
  void publish() {
    const auto buckets = static_cast<std::uint32_t>(rules_.size() * 2);
    const auto set = [&](std::uint32_t index, std::uint32_t value) {
      kernel_.at<tr_words>("unwind_words", index / 2).word[index % 2] = value;
    };
    for (std::uint32_t b = 0; b <= buckets; ++b) set(kFirst + b, (b + 1) / 2);
    for (std::uint32_t n = 0; n < rules_.size(); ++n) {
      set(kFirst + buckets + 1 + n, TR_ROW(kFileOffset + n * 256, n + 1));
      kernel_.at<tr_rule>("rules", n + 1) = rules_[n];
    }
    tr_table& table = kernel_.at<tr_table>("tables", kModule);
    table.low = kFileOffset;
    table.first_word = kFirst;
    table.bucket_count = buckets;
    table.state = TR_TABLE_READY;
    kernel_.at<tr_table>("tables", 1).state = TR_TABLE_NONE;
  }
  /// A return address in function `n`.
  static std::uint64_t in(std::size_t n) { return kProgram + n * 256 + 0x40; }
  void put(std::uint64_t at, std::uint64_t word) { kernel_.memory.write(at, word); }
  /// The allocator's direct caller; rbp stays as it is.
  void call_from(std::uint64_t address) {
    const std::uint64_t bp = main_.bp;
    main_.set_callers({address});
    main_.bp = bp;
  }

  struct Walk {
    std::vector<std::uint64_t> functions;  ///< of the program, without the probed one
    unsigned end = TR_END_COUNT;
    std::vector<std::uint64_t> flags;
    bool operator==(const Walk&) const = default;
  };
  Walk walk() {
    kernel_.time_ns++;
    main_.malloc(1, next_ += 16);
    const tr_stack& of = stack(stack_id(next_));
    Walk out;
    out.end = of.end;
    for (std::uint32_t i = 1; i < of.frame_count; ++i) {
      const std::uint64_t frame = stored_frame(of, i);
      const std::uint64_t offset = TR_FRAME_OFFSET(frame);
      out.functions.push_back(TR_FRAME_MODULE(frame) == kModule ? (offset - kFileOffset) / 256 : offset);
      out.flags.push_back(frame & (TR_FRAME_EXACT | TR_FRAME_BY_FP));
    }
    return out;
  }
  using Functions = std::vector<std::uint64_t>;

  struct Raw {
    tr_raw_stack head{};
    std::vector<std::byte> bytes;
    std::size_t room = 0;  ///< for bytes in the record

    std::uint64_t word_at(std::uint64_t address) const {
      std::uint64_t word = 0;
      if (address - head.start + sizeof(word) <= bytes.size())
        std::memcpy(&word, bytes.data() + (address - head.start), sizeof(word));
      return word;
    }
  };
  std::vector<Raw> raw_stacks() {
    std::vector<Raw> out;
    for (const std::vector<std::byte>& record : kernel_.drain_raw_stacks()) {
      Raw& raw = out.emplace_back();
      std::memcpy(&raw.head, record.data(), sizeof(raw.head));
      raw.room = record.size() - sizeof(raw.head);
      raw.bytes.assign(record.begin() + sizeof(raw.head), record.begin() + sizeof(raw.head) + raw.head.size);
    }
    return out;
  }
  static constexpr std::uint64_t kNarrowStack = 0x7000'0000'1000 - 2 * TR_RAW_PIECE;  ///< up to the end of a page

  static constexpr std::uint32_t kFirst = 101;
  std::vector<tr_rule> rules_;
  std::uint64_t next_ = kHeap;
};

TEST_F(TableTest, FollowsStackPointerRulesToTheEnd) {
  describe(0, rule(TR_CFA_SP, 32));
  describe(1, rule(TR_CFA_SP, 4096));
  describe(2, kEnd);
  publish();
  call_from(in(0));
  put(main_.sp + 8 + 32 - 8, in(1));
  put(main_.sp + 8 + 32 + 4096 - 8, in(2));
  const Walk found = walk();
  EXPECT_EQ(found.functions, (Functions{0, 1, 2}));
  EXPECT_EQ(found.end, TR_END_ROOT);
  EXPECT_EQ(found.flags, (Functions{0, 0, 0}));
}

TEST_F(TableTest, FramePointersAreRestoredThroughFunctionsThatKeepNone) {
  const std::uint64_t base = main_.sp + 8;
  describe(0, rule(TR_CFA_SP, 48, TR_FP_CFA, -16));  // pushes rbp and uses it for something else
  describe(1, rule(TR_CFA_SP, 16));
  describe(2, rule(TR_CFA_FP, 16, TR_FP_CFA, -16));
  describe(3, kEnd);
  publish();
  main_.bp = 0xdeadbeef;
  call_from(in(0));
  put(base + 32, base + 0x200);
  put(base + 40, in(1));
  put(base + 56, in(2));
  put(base + 0x200, 7);
  put(base + 0x208, in(3));
  EXPECT_EQ(walk().functions, (Functions{0, 1, 2, 3}));
  EXPECT_EQ(walk().end, TR_END_ROOT);
}

TEST_F(TableTest, RealignedStacksAreLeftThroughTheSavedArgumentPointer) {
  const std::uint64_t base = main_.sp + 8;
  describe(0, rule(TR_CFA_FP_DEREF, -8, TR_FP_FP, 0));
  describe(1, rule(TR_CFA_SP_DEREF, 24, TR_FP_SAME, 0, 1));
  describe(2, kEnd);
  publish();
  main_.bp = base + 0x80;
  call_from(in(0));
  put(base + 0x78, base + 0x100);  // the CFA
  put(base + 0x80, 0x1234);        // the caller's rbp
  put(base + 0xf8, in(1));
  put(base + 0x100 + 24, base + 0x300);
  put(base + 0x300, in(2));  // CFA 8 above
  EXPECT_EQ(walk().functions, (Functions{0, 1, 2}));
  EXPECT_EQ(walk().end, TR_END_ROOT);
}

TEST_F(TableTest, AProcedureLinkageEntryIsLeftByWhereInItTheCallIs) {
  describe(0, rule(TR_CFA_PLT, 11));
  describe(1, kEnd);
  publish();
  // The byte before the return address counts: 0x3b is past the push at 11, 0x37 is not.
  call_from(kProgram + 0x3c);
  put(main_.sp + 8 + 8, in(1));
  EXPECT_EQ(walk().functions, (Functions{0, 1}));
  call_from(kProgram + 0x38);
  put(main_.sp + 8, in(1));
  EXPECT_EQ(walk().functions, (Functions{0, 1}));
}

TEST_F(TableTest, AfterASignalFrameTheInstructionItselfCounts) {
  const std::uint64_t context = main_.sp + 8;
  const std::uint64_t other_stack = main_.stack_start() + 0x8000;
  describe(0, rule(TR_CFA_SIGNAL, 0));
  describe(1, rule(TR_CFA_SP, 16));
  describe(2, kEnd);
  publish();
  call_from(in(0));
  put(context + 120, 0x77);
  put(context + 160, other_stack);
  put(context + 168, kProgram + 256);  // the first instruction of function 1: its own rule, not the one before
  put(other_stack + 8, in(2));
  const Walk found = walk();
  EXPECT_EQ(found.functions, (Functions{0, 1, 2}));
  EXPECT_EQ(found.flags, (Functions{0, TR_FRAME_EXACT, 0}));
  EXPECT_EQ(found.end, TR_END_ROOT);
}

TEST_F(TableTest, AReturnAddressAtTheVeryEndOfAFunctionBelongsToIt) {
  describe(0, rule(TR_CFA_SP, 16));
  describe(1, rule(TR_CFA_UNSUPPORTED, 0));
  describe(2, kEnd);
  publish();
  call_from(kProgram + 256);  // behind the last instruction of function 0, a call that does not return
  put(main_.sp + 8 + 8, in(2));
  EXPECT_EQ(walk().end, TR_END_ROOT);
}

TEST_F(TableTest, WhatTablesCannotExpressEndsTheWalkByName) {
  describe(0, rule(TR_CFA_UNSUPPORTED, 0));
  publish();
  call_from(in(0));
  EXPECT_EQ(walk().end, TR_END_UNSUPPORTED);
}

TEST_F(TableTest, WithoutATableYetUserSpaceIsToldAndGetsTheStack) {
  describe(0, kEnd);
  publish();
  kernel_.at<tr_table>("tables", kModule).state = TR_TABLE_UNKNOWN;
  call_from(in(0));
  put(main_.sp + 0x100, 0xabcdef);
  main_.bp = 0x77;
  const Walk first = walk();
  EXPECT_EQ(first.end, TR_END_NO_TABLE | TR_END_RAW);
  EXPECT_EQ(first.functions, (Functions{0})) << "the caller is known all the same";
  walk();
  EXPECT_EQ(events_of(TR_EVENT_TABLE).size(), 1U) << "once";
  const std::vector<Raw> raw = raw_stacks();
  ASSERT_EQ(raw.size(), 2U);
  EXPECT_NE(raw[0].head.stack_id, raw[1].head.stack_id) << "nobody knows yet whether they are the same";
  EXPECT_EQ(raw[0].head.walk.pc, in(0));
  EXPECT_EQ(raw[0].head.walk.sp, main_.sp + 8);
  EXPECT_EQ(raw[0].head.walk.fp, 0x77U);
  EXPECT_EQ(raw[0].head.start % TR_RAW_PIECE, 0U);
  EXPECT_EQ(raw[0].word_at(main_.sp + 0x100), 0xabcdefU);
  kernel_.at<tr_table>("tables", kModule).state = TR_TABLE_READY;
  EXPECT_EQ(walk().end, TR_END_ROOT) << "as soon as it is there";
}

TEST_F(TableTest, OfTheFirstThreadsStackNoMoreIsCopiedThanThereIs) {
  publish();
  kernel_.at<tr_table>("tables", kModule).state = TR_TABLE_UNKNOWN;
  call_from(in(0));
  put(main_.sp + 0x3f8, 0xabcdef);
  const std::uint64_t start = (main_.sp + 8) & ~(TR_RAW_PIECE - 1ULL);
  struct {
    std::uint64_t end;
    std::size_t pieces;
  } const cases[] = {{main_.sp + 0x400, (main_.sp + 0x400 - start) / TR_RAW_PIECE + 1},
                     {start + std::uint64_t{TR_RAW_PIECES} * TR_RAW_PIECE, TR_RAW_PIECES},
                     {start + 0x100000, TR_RAW_PIECES},
                     {start, TR_RAW_PIECES},
                     {start - 0x1000, TR_RAW_PIECES},
                     {0, TR_RAW_PIECES}};
  for (const auto& one : cases) {
    main_.task.start_stack = one.end;
    walk();
    const std::vector<Raw> raw = raw_stacks();
    ASSERT_EQ(raw.size(), 1U);
    EXPECT_EQ(raw[0].room, one.pieces * TR_RAW_PIECE);
    EXPECT_EQ(raw[0].word_at(main_.sp + 0x3f8), 0xabcdefU);
  }
}

TEST_F(TableTest, AStackIsCopiedUpToWhatIsNotThere) {
  publish();
  kernel_.at<tr_table>("tables", kModule).state = TR_TABLE_UNKNOWN;
  main_.sp = kNarrowStack + 8;
  kernel_.memory.map(kNarrowStack, 2 * TR_RAW_PIECE);
  put(main_.sp, in(0));
  EXPECT_EQ(walk().end, TR_END_NO_TABLE | TR_END_RAW);
  const std::vector<Raw> raw = raw_stacks();
  ASSERT_EQ(raw.size(), 1U);
  EXPECT_EQ(raw[0].head.size, 2U * TR_RAW_PIECE);
}

TEST_F(TableTest, WithoutRoomForTheStackItEndsWhereTheTableWasMissing) {
  publish();
  kernel_.set_capacity("raw_stacks", 256);
  kernel_.at<tr_table>("tables", kModule).state = TR_TABLE_UNKNOWN;
  call_from(in(0));
  EXPECT_EQ(walk().end, TR_END_NO_TABLE);
  EXPECT_EQ(walk().end, TR_END_NO_TABLE);
  EXPECT_EQ(kernel_.map("stack_ids").size(), 1U) << "one stack for all of them";
  EXPECT_EQ(kernel_.open_reservations(), 0U);
}

TEST_F(TableTest, CodeWithoutInformationIsLeftByItsFramePointerAndMarked) {
  describe(0, rule(TR_CFA_NONE, 0));
  describe(1, kEnd);
  publish();
  main_.bp = main_.sp + 0x100;
  call_from(in(0));
  put(main_.bp, 0);
  put(main_.bp + 8, in(1));
  const Walk found = walk();
  EXPECT_EQ(found.functions, (Functions{0, 1}));
  EXPECT_EQ(found.flags, (Functions{0, TR_FRAME_BY_FP}));
  EXPECT_EQ(found.end, TR_END_ROOT);
}

TEST_F(TableTest, GeneratedCodeWithoutFramePointersIsNamedAsTheReason) {
  kernel_.mappings[kTgid].push_back({.start = 0x7fff00000000,
                                     .end = 0x7fff00100000,
                                     .file_offset = 0,
                                     .executable = 1,
                                     .has_file = 0,
                                     .key = {},
                                     .path = nullptr});
  publish();
  call_from(0x7fff00000100);
  main_.bp = 3;
  const Walk found = walk();
  EXPECT_EQ(found.functions, (Functions{0x7fff00000100}));
  EXPECT_EQ(found.end, TR_END_JIT);
}

TEST_F(TableTest, ANullReturnAddressIsTheRoot) {
  describe(0, rule(TR_CFA_SP, 16));
  publish();
  call_from(in(0));
  put(main_.sp + 16, 0);
  EXPECT_EQ(walk().end, TR_END_ROOT);
}

TEST_F(TableTest, AReturnAddressThatIsNoCodeEndsTheWalk) {
  describe(0, rule(TR_CFA_SP, 16));
  publish();
  call_from(in(0));
  put(main_.sp + 16, 0x12345);
  EXPECT_EQ(walk().end, TR_END_NO_CODE);
}

TEST_F(TableTest, MemoryThatCannotBeReadEndsTheWalk) {
  describe(0, rule(TR_CFA_SP, 1 << 20));
  publish();
  call_from(in(0));
  EXPECT_EQ(walk().end, TR_END_FAULT);
  describe(0, rule(TR_CFA_SP, 32, TR_FP_CFA, 32767));
  kernel_.memory.map(main_.sp + 8 + 32 + 0x7000, 1);
  publish();
  main_.task.layout += 2;  // forget the rule
  call_from(in(0));
  EXPECT_EQ(walk().functions.size(), 1U);
}

TEST_F(TableTest, ALostFramePointerIsNeverFollowed) {
  describe(0, rule(TR_CFA_SP, 16, TR_FP_LOST));
  describe(1, rule(TR_CFA_FP, 16));
  publish();
  call_from(in(0));
  put(main_.sp + 16, in(1));
  EXPECT_EQ(walk().end, TR_END_FAULT);
}

TEST_F(TableTest, RulesThatLeadNowhereCannotHang) {
  describe(0, rule(TR_CFA_SP, 0));
  publish();
  call_from(in(0));
  EXPECT_EQ(walk().end, TR_END_FRAME) << "a CFA that is the stack pointer";
  describe(0, rule(TR_CFA_SP, -64));
  publish();
  main_.task.layout += 2;
  EXPECT_EQ(walk().end, TR_END_FRAME) << "downwards";
  // Two frames that lead to each other by rbp end at the limit.
  describe(0, rule(TR_CFA_FP, 16, TR_FP_CFA, -16));
  publish();
  main_.task.layout += 2;
  const std::uint64_t a = main_.sp + 0x100, b = main_.sp + 0x200;
  main_.bp = a;
  put(a, b);
  put(a + 8, in(0));
  put(b, a);
  put(b + 8, in(0));
  const Walk found = walk();
  EXPECT_EQ(found.end, TR_END_DEPTH);
  EXPECT_EQ(found.functions.size(), static_cast<std::size_t>(TR_MAX_FRAMES - 1));
}

TEST_F(TableTest, TablesThatPointOutsideOfTheirMemorySayNothing) {
  describe(0, kEnd);
  publish();
  tr_table& table = kernel_.at<tr_table>("tables", kModule);
  for (const std::uint32_t first : {16384U * 2 - 1, 0x80000000U, ~0U}) {
    table.first_word = first;
    main_.task.layout += 2;
    call_from(in(0));
    EXPECT_EQ(walk().functions, (Functions{0})) << first;
  }
  table.first_word = kFirst;
  table.low = ~0ULL;
  main_.task.layout += 2;
  EXPECT_EQ(walk().end, TR_END_FRAME);
}

TEST_F(TableTest, TheDepthLimitCutsAndSaysSo) {
  config_.max_frames = 3;
  describe(0, rule(TR_CFA_SP, 16));
  describe(1, kEnd);
  publish();
  call_from(in(0));
  for (int i = 1; i < 5; ++i) put(main_.sp + static_cast<std::uint64_t>(i) * 16, in(0));
  EXPECT_EQ(walk().functions, (Functions{0, 0}));
  EXPECT_EQ(walk().end, TR_END_DEPTH);
  put(main_.sp + 16, in(1));
  EXPECT_EQ(walk().end, TR_END_ROOT) << "exactly as many frames as allowed";
}

TEST_F(TableTest, AnAddressOutsideOfUserSpaceIsNotTakenForOneThatIsKnown) {
  const std::uint64_t context = main_.sp + 8;
  const std::uint64_t other_stack = main_.stack_start() + 0x8000;
  const std::uint64_t interrupted = in(1) + 0x20;
  describe(0, rule(TR_CFA_SIGNAL, 0));
  describe(1, rule(TR_CFA_SP, 16));
  describe(2, rule(TR_CFA_SP, 16));
  describe(3, kEnd);
  publish();
  // The address is met as that of an instruction, which the table of known addresses keeps under its top bit.
  call_from(in(0));
  put(context + 160, other_stack);
  put(context + 168, interrupted);
  put(other_stack + 8, in(3));
  ASSERT_EQ(walk().end, TR_END_ROOT);
  // The same bits, top bit set, as a return address.
  call_from(in(2));
  put(main_.sp + 16, interrupted | 1ULL << 63);
  put(main_.sp + 32, in(3));
  for (int i = 0; i < 2; ++i) {
    const Walk found = walk();
    EXPECT_EQ(found.functions, (Functions{2}));
    EXPECT_EQ(found.end, TR_END_NO_CODE);
  }
}

TEST_F(TableTest, FramesThatAreKnownAreLeftAsTheyWereTheFirstTime) {
  constexpr std::size_t kFunctions = 24;
  constexpr int kWords = 1024;
  constexpr int kRounds = 400;
  kernel_.set_capacity("blocks", 2 * kRounds);
  kernel_.set_capacity("stack_chunks", TR_MAX_CHUNKS * kStackCapacity);
  std::mt19937_64 generator{1};
  const auto random = [&](std::uint64_t below) { return generator() % below; };
  std::array<int, TR_END_COUNT> ends{};
  std::size_t longest = 0;
  for (int round = 0; round < kRounds; ++round) {
    // Mostly what code is made of, and some of everything else.
    for (std::size_t n = 0; n < kFunctions; ++n) {
      const auto cfa = static_cast<tr_cfa>(random(8) != 0 ? TR_CFA_SP + random(2) : random(TR_CFA_UNSUPPORTED + 1));
      const auto fp = static_cast<tr_fp>(random(8) != 0 ? random(2) : random(TR_FP_LOST + 1));
      const auto offset = static_cast<std::int32_t>(8 * random(random(16) == 0 ? 400 : 8) + (random(64) == 0 ? 4 : 0));
      describe(n, rule(cfa, offset + 8, fp, static_cast<std::int16_t>(-8 * static_cast<int>(random(4))), 1));
    }
    describe(kFunctions - 1, kEnd);
    publish();
    main_.task.layout += 2;  // forget the rules
    for (std::uint64_t i = 0; i < kWords; ++i) {
      const std::uint64_t at = main_.sp + i * 8;
      put(at, random(40) == 0  ? random(4) * 8
              : random(4) == 0 ? at + 8 * random(24)
                               : in(random(kFunctions)) + random(2));
    }
    call_from(in(random(kFunctions)));
    main_.bp = main_.sp + 8 * random(32);
    const Walk first = walk();
    const Walk again = walk();
    ASSERT_EQ(first, again) << "round " << round;
    ends[first.end & ~TR_END_RAW]++;
    longest = std::max(longest, first.functions.size());
  }
  EXPECT_EQ(ends[TR_END_NOT_STORED], 0);
  EXPECT_GT(ends[TR_END_ROOT], 40);
  EXPECT_GT(ends[TR_END_FAULT] + ends[TR_END_FRAME], 40);
  EXPECT_GT(longest, 20U);
}

TEST_F(TableTest, AReturnProbesTrampolineIsLookedThrough) {
  describe(0, rule(TR_CFA_SP, 16));
  describe(1, rule(TR_CFA_SP, 16));
  describe(2, kEnd);
  publish();
  call_from(in(0));
  put(main_.sp + 16, kTrampoline);
  put(main_.sp + 32, in(2));
  main_.task.returns[0] = {.slot = main_.sp - 64, .address = in(2)};
  main_.task.returns[1] = {.slot = main_.sp + 16, .address = in(1)};
  main_.task.return_count = 2;
  const Walk found = walk();
  EXPECT_EQ(found.functions, (Functions{0, 1, 2}));
  EXPECT_EQ(found.end, TR_END_ROOT);
  main_.task.return_count = 1;
  EXPECT_EQ(walk().end, TR_END_NO_CODE) << "nobody knows what was there";
}

TEST_F(TableTest, TheVdsoHasATableOfItsOwn) {
  kernel_.mappings[kTgid].push_back({.start = 0x7fff00000000,
                                     .end = 0x7fff00002000,
                                     .file_offset = 0,
                                     .executable = 1,
                                     .has_file = 0,
                                     .key = {},
                                     .path = nullptr});
  main_.task.vdso = 0x7fff00000000;
  globals_.vdso_module = 9;
  describe(0, kEnd);
  publish();
  kernel_.at<tr_table>("tables", 9) = kernel_.at<tr_table>("tables", kModule);
  call_from(0x7fff00001040);
  const Walk found = walk();
  EXPECT_EQ(found.end, TR_END_ROOT);
  EXPECT_EQ(found.functions, (Functions{0x1040}));
}

TEST_F(TableTest, AWalkThatWasInterruptedGoesOnAtTheReturn) {
  describe(0, rule(TR_CFA_SP, 16));
  describe(1, kEnd);
  publish();
  call_from(in(0));
  put(main_.sp + 16, in(1));
  kernel_.busy_lookups = 1000;
  main_.enter(kMalloc, {10});
  kernel_.busy_lookups = 0;
  main_.leave(kHeap);
  const tr_stack& of = stack(stack_id(kHeap));
  EXPECT_EQ(of.frame_count, 3U);
  EXPECT_EQ(of.end, static_cast<unsigned>(TR_END_ROOT));
}

TEST_F(TableTest, AWalkThatStaysBusyKeepsTheCallersAddressAndEnds) {
  describe(0, rule(TR_CFA_SP, 16));
  publish();
  call_from(in(0));
  kernel_.busy_lookups = 100000;
  main_.malloc(1, kHeap);
  const tr_stack& of = stack(stack_id(kHeap));
  EXPECT_EQ(of.frame_count, 2U);
  EXPECT_EQ(of.end, static_cast<unsigned>(TR_END_BUSY));
  EXPECT_EQ(frames(stack_id(kHeap)).at(1), TR_FRAME(TR_MODULE_UNKNOWN, in(0)));
}

}  // namespace
}  // namespace tracer::bpf_host
