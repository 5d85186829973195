// SPDX-License-Identifier: Apache-2.0
#include "elf/function_exits.h"

#include <gtest/gtest.h>

#include <map>

#include "probe_site_cases.h"

namespace tracer::elf {
namespace {

constexpr std::uint64_t kEntry = 0x1000;
constexpr std::uint64_t kOther = 0x2000;
constexpr std::uint64_t kMalloc = 0x5000;
constexpr std::uint64_t kStub = 0x6000;
constexpr std::uint64_t kSlot = 0x7000;

/// Functions of a file that is not there.
class MadeCode : public CodeMap {
 public:
  void add(std::uint64_t address, const std::string& hex) { functions_[address] = bytes(hex); }
  Imports imports;

  std::optional<CodeRange> range_at(std::uint64_t address) const override {
    for (const auto& [start, code] : functions_) {
      if (address >= start && address < start + code.size()) return CodeRange{start, start + code.size()};
    }
    return std::nullopt;
  }
  std::vector<std::uint8_t> code_at(std::uint64_t address, std::size_t size) const override {
    for (const auto& [start, code] : functions_) {
      if (address < start || address >= start + code.size()) continue;
      const auto from = code.begin() + static_cast<std::ptrdiff_t>(address - start);
      return {from, from + static_cast<std::ptrdiff_t>(std::min<std::size_t>(size, code.end() - from))};
    }
    return {};
  }
  const Import* import_at(std::uint64_t slot) const override {
    const auto found = imports.find(slot);
    return found == imports.end() ? nullptr : &found->second;
  }

 private:
  std::map<std::uint64_t, std::vector<std::uint8_t>> functions_;
};

class FunctionExitsTest : public testing::Test {
 protected:
  std::vector<FunctionExit> exits(const std::string& hex) {
    code_.add(kEntry, hex);
    Result<std::vector<FunctionExit>> found = find_exits(kEntry, code_, is_counted_);
    EXPECT_TRUE(found.ok()) << (found ? "" : found.error().message());
    return found ? *found : std::vector<FunctionExit>();
  }
  std::string refusal(const std::string& hex) {
    code_.add(kEntry, hex);
    Result<std::vector<FunctionExit>> found = find_exits(kEntry, code_, is_counted_);
    return found ? "none" : found.error().message();
  }
  bool is_wrapper(const std::string& hex, bool is_free = false) {
    code_.add(kEntry, hex);
    return always_calls_counted(kEntry, code_, is_counted_, is_free);
  }

  MadeCode code_;
  IsCounted is_counted_ = [](const Destination& to) { return to.address == kMalloc || to.name == "malloc"; };
};

using Exits = std::vector<FunctionExit>;

FunctionExit at_return(std::uint64_t address) { return {address, 0, std::nullopt, 0, false}; }

TEST_F(FunctionExitsTest, AReturnBehindACallIsSingleStepped) {
  // push %rbx; call +0; pop %rbx; ret
  EXPECT_EQ(exits("53 e8 00 00 00 00 5b c3"), (Exits{at_return(kEntry + 7)}));
}

TEST_F(FunctionExitsTest, TheLastJumpInFrontOfAReturnIsTheExit) {
  // call; test %rax,%rax; je +2; pop %rbx; ret; xor %eax,%eax; ret
  EXPECT_EQ(exits("e8 00 00 00 00 48 85 c0 74 02 5b c3 31 c0 c3"),
            (Exits{{kEntry + 8, 0, 5, 8, true}, at_return(kEntry + 14)}));
}

TEST_F(FunctionExitsTest, TheResultIsFollowedThroughItsRegisters) {
  // cmp %rdi,%rsi; je +10; mov %rdi,(%rsi); add $24,%rsp; mov %r11,%rax; ret; ud2
  EXPECT_EQ(exits("48 39 fe 74 0b 48 89 3e 48 83 c4 18 4c 89 d8 c3 0f 0b"), (Exits{{kEntry + 3, 11, 5, 24, true}}));
}

TEST_F(FunctionExitsTest, EveryWayToAReturnIsAnExit) {
  // je +5; mov %r9,%rax; jmp +3; mov %r8,%rax; ret
  EXPECT_EQ(exits("74 05 4c 89 c8 eb 03 4c 89 c0 c3"),
            (Exits{{kEntry, 8, 4, 0, true}, {kEntry + 5, 0, std::nullopt, 0, true}}));
}

TEST_F(FunctionExitsTest, AWayWithoutAJumpMakesTheReturnTheExit) {
  // je +3; mov (%rdi),%rax; ret
  EXPECT_EQ(exits("74 03 48 8b 07 c3"), (Exits{at_return(kEntry + 5)}));
}

TEST_F(FunctionExitsTest, ALoadOrACallEndsTheSearchForAJump) {
  EXPECT_EQ(exits("74 00 48 8b 07 c3"), (Exits{at_return(kEntry + 5)}));
  EXPECT_EQ(exits("74 00 e8 00 00 00 00 c3"), (Exits{at_return(kEntry + 7)}));
  // mov %ebx,%eax is half of a register only.
  EXPECT_EQ(exits("74 00 89 d8 c3"), (Exits{at_return(kEntry + 4)}));
  // mov %rbp,%rsp; pop %rbp: how much stack is given back is not known.
  EXPECT_EQ(exits("74 00 48 89 ec 5d c3"), (Exits{at_return(kEntry + 6)}));
}

TEST_F(FunctionExitsTest, JumpsIntoOtherFunctionsAreFollowed) {
  code_.add(kOther, "e8 00 00 00 00 c3");
  // jmp kOther
  EXPECT_EQ(exits("e9 fb 0f 00 00"), (Exits{at_return(kOther + 5)}));
  // The same through a stub of the procedure linkage table: jmp *kSlot.
  code_.imports[kSlot] = {"local", kOther};
  code_.add(kStub, "ff 25 fa 0f 00 00");
  EXPECT_EQ(exits("e9 fb 4f 00 00"), (Exits{at_return(kOther + 5)}));
}

TEST_F(FunctionExitsTest, FunctionsThatEndInEachOtherAreSeenOnce) {
  code_.add(kOther, "74 05 e9 f9 ef ff ff e8 00 00 00 00 c3");
  EXPECT_EQ(exits("e9 fb 0f 00 00"), (Exits{at_return(kOther + 12)}));
}

TEST_F(FunctionExitsTest, WhatCannotBeFollowedIsRefusedAndSaidWhere) {
  EXPECT_EQ(refusal("ff e0"), "it goes on through a pointer, at 0x1000");
  EXPECT_EQ(refusal("06 c3"), "what is at 0x1000 is no instruction");
  EXPECT_EQ(refusal("eb 01 b8 00 00 00 00 c3"), "there is no instruction at 0x1003");
  EXPECT_EQ(refusal("eb fe"), "it never returns");
  EXPECT_EQ(refusal("e9 00 10 00 00"), "no call frame information tells of the code at 0x2005");
  EXPECT_EQ(refusal("e9 fb 3f 00 00"), "it goes on in a counted function, at 0x1000");
  code_.imports[kSlot] = {"elsewhere", 0};
  EXPECT_EQ(refusal("ff 25 fa 5f 00 00"), "it goes on in elsewhere of another file, at 0x1000");
  Result<std::vector<FunctionExit>> nothing = find_exits(0x9000, code_, is_counted_);
  EXPECT_FALSE(nothing.ok());
}

TEST_F(FunctionExitsTest, AFunctionThatAlwaysCallsACountedOneIsAWrapper) {
  EXPECT_TRUE(is_wrapper("e9 fb 3f 00 00")) << "jmp malloc";
  EXPECT_TRUE(is_wrapper("53 e8 fa 3f 00 00 5b c3")) << "push; call malloc; pop; ret";
  // libstdc++: a size of 0 becomes 1; then a loop around malloc.
  EXPECT_TRUE(is_wrapper("48 85 ff 75 05 bf 01 00 00 00 e8 f1 3f 00 00 48 85 c0 74 f6 c3"));
  EXPECT_FALSE(is_wrapper("74 05 e8 f9 3f 00 00 c3")) << "one way does not";
  EXPECT_FALSE(is_wrapper("c3"));
  EXPECT_FALSE(is_wrapper("ff e0"));
  EXPECT_FALSE(is_wrapper("06 c3"));
}

TEST_F(FunctionExitsTest, AFreeOfNothingNeedNotCallAnybody) {
  // test %rdi,%rdi; je +1 / jne: jmp malloc; ret
  const std::string skips = "48 85 ff 74 05 e9 f6 3f 00 00 c3";
  EXPECT_TRUE(is_wrapper(skips, true));
  EXPECT_FALSE(is_wrapper(skips, false));
  EXPECT_TRUE(is_wrapper("48 85 ff 75 01 c3 e9 f5 3f 00 00", true));
  EXPECT_FALSE(is_wrapper("48 85 f6 74 05 e9 f6 3f 00 00 c3", true)) << "another argument";
}

}  // namespace
}  // namespace tracer::elf
