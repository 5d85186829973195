// SPDX-License-Identifier: Apache-2.0
// Open calls: of functions that an exception can leave. They end at exits, by an exception, or unseen.
#include "tests/bpf_host/harness.h"

namespace tracer::bpf_host {
namespace {

constexpr std::uint64_t kReturn = TR_EXIT(0, 0, 0, 0);    // a return instruction: rax
constexpr std::uint64_t kBranch = TR_EXIT(11, 5, 1, 24);  // jne, with the result in r11 and 24 bytes of stack taken
constexpr std::uint64_t kZero = 1 << 6;                   // the flag
constexpr std::uint64_t kCarry = 1;

host_registers result(std::uint64_t rax) {
  host_registers registers{};
  registers.ax = rax;
  return registers;
}

class ExitTest : public HostTest {
 protected:
  std::uint64_t failed() { return space(space_).failed_objects; }
  /// A call further down the stack, while the one that was entered last is in flight.
  void inside(const std::function<void()>& calls) {
    main_.sp -= 0x100;
    calls();
    main_.sp += 0x100;
  }
};

TEST_F(ExitTest, AReturnInstructionEndsTheCall) {
  main_.enter(kNew, {100});
  EXPECT_EQ(block(kHeap), nullptr);
  main_.exit(kReturn, result(kHeap));
  EXPECT_EQ(block(kHeap)->size, 100U);
  main_.exit(kReturn, result(kHeap + 0x100));
  EXPECT_EQ(totals().alloc_objects, 1U) << "nothing is in flight any more";
  EXPECT_EQ(lost(), 0U);
}

TEST_F(ExitTest, AConditionalExitCountsWhenItsConditionHolds) {
  host_registers registers = result(1);
  registers.r11 = kHeap;
  registers.flags = kZero;
  main_.enter(kNew, {100});
  main_.exit(kBranch, registers);
  EXPECT_EQ(block(kHeap), nullptr) << "the jump goes elsewhere";
  registers.flags = kCarry;
  main_.exit(kBranch, registers);
  EXPECT_EQ(block(kHeap)->size, 100U);
}

TEST_F(ExitTest, EveryConditionOfAJumpIsUnderstood) {
  constexpr std::uint64_t kParity = 1 << 2, kSign = 1 << 7, kOverflow = 1 << 11;
  // Flags under which the even one of each pair holds, and others under which it does not.
  const std::vector<std::pair<std::vector<std::uint64_t>, std::vector<std::uint64_t>>> pairs{
      {{kOverflow}, {0, kZero}},
      {{kCarry}, {0, kZero}},
      {{kZero}, {0, kCarry}},
      {{kCarry, kZero, kCarry | kZero}, {0, kSign}},
      {{kSign}, {0, kZero}},
      {{kParity}, {0, kZero}},
      {{kSign, kOverflow}, {0, kSign | kOverflow, kZero}},
      {{kZero, kSign, kOverflow}, {0, kSign | kOverflow}},
  };
  std::uint64_t address = kHeap;
  const auto counts = [&](std::uint64_t condition, std::uint64_t flags) {
    host_registers registers = result(address += 0x100);
    registers.flags = flags;
    main_.enter(kNew, {8});
    main_.exit(TR_EXIT(0, condition, 1, 0), registers);
    const bool counted = block(address) != nullptr;
    if (!counted) main_.exit(kReturn, result(0));
    return counted;
  };
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    for (const std::uint64_t flags : pairs[i].first) {
      EXPECT_TRUE(counts(2 * i, flags)) << i << " " << flags;
      EXPECT_FALSE(counts(2 * i + 1, flags)) << i << " " << flags;
    }
    for (const std::uint64_t flags : pairs[i].second) {
      EXPECT_FALSE(counts(2 * i, flags)) << i << " " << flags;
      EXPECT_TRUE(counts(2 * i + 1, flags)) << i << " " << flags;
    }
  }
  EXPECT_EQ(lost(), 0U);
}

TEST_F(ExitTest, ExitsOfOtherCallsAreNotItsOwn) {
  main_.enter(kNew, {100});
  inside([&] { main_.exit(kReturn, result(kHeap + 0x500)); });
  EXPECT_EQ(totals().alloc_objects, 0U);
  main_.exit(kReturn, result(kHeap));
  EXPECT_EQ(totals().alloc_objects, 1U);
  main_.enter(kMalloc, {50});
  main_.exit(kReturn, result(kHeap + 0x500));
  EXPECT_EQ(totals().alloc_objects, 1U) << "malloc ends at its return";
  main_.leave(kHeap + 0x500);
  EXPECT_EQ(block(kHeap + 0x500)->size, 50U);
}

TEST_F(ExitTest, CallsInsideOfAnOpenOneCountWithIt) {
  main_.enter(kNew, {100});
  inside([&] { main_.malloc(4096, kHeap + 0x1000); });
  main_.exit(kReturn, result(kHeap));
  EXPECT_EQ(totals().alloc_bytes, 100U);
  EXPECT_EQ(globals_.calls_nested, 1U);
}

TEST_F(ExitTest, AnExceptionIsAFailedCallAndItsBlockAnAllocation) {
  for (int i = 0; i < 3; ++i) {
    main_.enter(kNew, {100});
    inside([&] {
      main_.enter(kThrow, {});
      main_.malloc(136, kHeap);
    });
    main_.free(kHeap);
  }
  EXPECT_EQ(failed(), 3U);
  EXPECT_EQ(totals().alloc_bytes, 3 * 136U);
  EXPECT_EQ(totals().live_bytes(), 0U);
  EXPECT_EQ(space(space_).free_unknown, 0U);
  EXPECT_EQ(lost(), 0U);
}

TEST_F(ExitTest, ExceptionsElsewhereAreNobodysBusiness) {
  main_.enter(kThrow, {});
  main_.malloc(136, kHeap);
  EXPECT_EQ(block(kHeap)->size, 136U);
  main_.enter(kMalloc, {100});
  inside([&] { main_.enter(kThrow, {}); });
  main_.leave(kHeap + 0x100);
  EXPECT_EQ(block(kHeap + 0x100)->size, 100U);
  EXPECT_EQ(failed(), 0U);
}

TEST_F(ExitTest, ACallThatWasLeftUnseenIsLost) {
  main_.enter(kNew, {100});
  main_.enter(kNew, {200});  // from the same place, with the same return address
  main_.exit(kReturn, result(kHeap));
  EXPECT_EQ(block(kHeap)->size, 200U);
  EXPECT_EQ(lost(TR_LOSS_CALL_ABANDONED), 1U);
  EXPECT_EQ(failed(), 0U);
}

TEST_F(ExitTest, ACallThatWasLeftIsNoticedByItsReturnAddress) {
  main_.enter(kNew, {100});
  inside([&] {
    // Somebody else's frame by now.
    FakeKernel::instance().memory.write(main_.sp + 0x100, std::uint64_t{0x1234});
    main_.malloc(50, kHeap);
  });
  EXPECT_EQ(block(kHeap)->size, 50U);
  EXPECT_EQ(lost(TR_LOSS_CALL_ABANDONED), 1U);
}

TEST_F(ExitTest, AFailedResizeLeavesTheBlockAsItWas) {
  main_.malloc(100, kHeap);
  main_.call(kXallocx, {kHeap, 5000}, 112);
  EXPECT_EQ(block(kHeap)->size, 100U);
  EXPECT_EQ(failed(), 1U);
  main_.call(kXallocx, {kHeap, 110}, 112);
  EXPECT_EQ(block(kHeap)->size, 110U);
  EXPECT_EQ(totals(), (Totals{2, 210, 1, 100, 0}));
}

TEST_F(ExitTest, TheFourthArgumentCanBeTheSize) {
  main_.call(TR_COOKIE(TR_CALL_ALLOC, 4, 3, 0), {.third = 3, .fourth = 40}, kHeap);
  EXPECT_EQ(block(kHeap)->size, 120U);
}

}  // namespace
}  // namespace tracer::bpf_host
