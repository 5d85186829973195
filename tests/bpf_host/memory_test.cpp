// SPDX-License-Identifier: Apache-2.0
// What no allocator hands out: system calls that map and unmap, and first touches of pages.
#include <cerrno>

#include "tests/bpf_host/harness.h"

namespace tracer::bpf_host {
namespace {

constexpr std::uint64_t kMmap = 9, kMprotect = 10, kMunmap = 11, kBrk = 12, kMremap = 25, kRead = 0;
constexpr std::uint64_t kReadWrite = 3, kNone = 0;
constexpr std::uint64_t kAnonymous = 0x22, kFixed = 0x32, kOfFile = 0x2;
constexpr std::uint64_t kPlace = 0x7ffff0000000;
constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kNotPresent = 6, kPresent = 7;  // a user's write

struct Call {
  std::uint64_t number = 0;
  std::uint64_t first = 0;
  std::uint64_t second = 0;
  std::uint64_t third = 0;
  std::uint64_t fourth = 0;
};

class MemoryTest : public HostTest {
 protected:
  host_registers registers_of(const Call& call) const {
    return {.ip = main_.ip,
            .sp = main_.sp,
            .bp = main_.bp,
            .ax = 0,
            .di = call.first,
            .si = call.second,
            .dx = call.third,
            .r10 = call.fourth,
            .orig_ax = call.number};
  }
  void enter(const Call& call) {
    const host_registers registers = registers_of(call);
    host_memory_call_entry(&main_.task, &registers);
  }
  void leave(const Call& call, std::uint64_t result) {
    const host_registers registers = registers_of(call);
    host_memory_call_return(&main_.task, &registers, result);
  }
  std::vector<tr_memory_event> events_of_call(const Call& call, std::uint64_t result) {
    enter(call);
    leave(call, result);
    return kernel_.drain_memory_events();
  }
  void fault(std::uint64_t address, std::uint64_t error_code = kNotPresent) {
    const host_registers registers = registers_of({});
    host_page_fault(&main_.task, &registers, address, error_code);
  }
  std::uint64_t faults() {
    std::uint64_t sum = 0;
    for (const std::uint32_t id : stack_ids()) {
      if (const auto* count = kernel_.find<std::uint64_t>("faults", id)) sum += *count;
    }
    return sum;
  }
};

TEST_F(MemoryTest, AnonymousMemoryIsToldWithItsStack) {
  const std::vector<tr_memory_event> told = events_of_call({kMmap, 0, 5000, kReadWrite, kAnonymous}, kPlace);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].change, TR_MEMORY_MAP);
  EXPECT_EQ(told[0].space, space_);
  EXPECT_EQ(told[0].address, kPlace);
  EXPECT_EQ(told[0].length, 5000U);
  EXPECT_EQ(told[0].flags, TR_MEMORY_ACCESSIBLE);
  EXPECT_FALSE(frames(told[0].stack_id).empty());
}

TEST_F(MemoryTest, ReservedMemoryIsToldAsSuch) {
  EXPECT_EQ(events_of_call({kMmap, 0, kMiB, kNone, kAnonymous}, kPlace).at(0).flags, 0U);
  const tr_memory_event told = events_of_call({kMprotect, kPlace, 4096, kReadWrite}, 0).at(0);
  EXPECT_EQ(told.change, TR_MEMORY_PROTECT);
  EXPECT_EQ(told.flags, TR_MEMORY_ACCESSIBLE);
}

TEST_F(MemoryTest, FilesAndFailuresAreNotTold) {
  EXPECT_TRUE(events_of_call({kMmap, 0, kMiB, kReadWrite, kOfFile}, kPlace).empty());
  EXPECT_TRUE(events_of_call({kMmap, 0, kMiB, kReadWrite, kAnonymous}, -std::uint64_t{ENOMEM}).empty());
  EXPECT_TRUE(events_of_call({kMprotect, kPlace, kMiB, kReadWrite}, -std::uint64_t{ENOMEM}).empty());
  EXPECT_TRUE(events_of_call({kRead, 0, kPlace, 100}, 100).empty());
}

TEST_F(MemoryTest, WhatIsUnmappedIsToldBeforeTheKernelDoesIt) {
  const Call call{kMunmap, kPlace, kMiB};
  enter(call);
  const std::vector<tr_memory_event> before = kernel_.drain_memory_events();
  ASSERT_EQ(before.size(), 1U);
  EXPECT_EQ(before[0].change, TR_MEMORY_TAKE);
  EXPECT_EQ(before[0].address, kPlace);
  EXPECT_EQ(before[0].length, kMiB);
  EXPECT_EQ(before[0].tid, main_.task.pid);
  leave(call, 0);
  const std::vector<tr_memory_event> after = kernel_.drain_memory_events();
  ASSERT_EQ(after.size(), 1U);
  EXPECT_EQ(after[0].change, TR_MEMORY_SETTLE);
  EXPECT_EQ(after[0].length, 0U);
}

TEST_F(MemoryTest, WhatCouldNotBeUnmappedIsGivenBack) {
  const std::vector<tr_memory_event> told = events_of_call({kMunmap, kPlace + 1, kMiB}, -std::uint64_t{EINVAL});
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[1].change, TR_MEMORY_RESTORE);
}

TEST_F(MemoryTest, AFixedMappingTakesWhatWasThere) {
  const std::vector<tr_memory_event> told = events_of_call({kMmap, kPlace, kMiB, kReadWrite, kFixed}, kPlace);
  ASSERT_EQ(told.size(), 3U);
  EXPECT_EQ(told[0].change, TR_MEMORY_TAKE);
  EXPECT_EQ(told[1].change, TR_MEMORY_SETTLE);
  EXPECT_EQ(told[2].change, TR_MEMORY_MAP);
}

TEST_F(MemoryTest, MovedMemoryIsToldWithItsNewPlaceAndSize) {
  const std::vector<tr_memory_event> told = events_of_call({kMremap, kPlace, kMiB, 3 * kMiB, 1}, kPlace + 16 * kMiB);
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[1].change, TR_MEMORY_SETTLE);
  EXPECT_EQ(told[1].address, kPlace + 16 * kMiB);
  EXPECT_EQ(told[1].length, 3 * kMiB);
}

TEST_F(MemoryTest, TheBreakGrowsAndShrinks) {
  main_.task.brk = kHeap;
  EXPECT_TRUE(events_of_call({kBrk, 0}, kHeap).empty());
  const tr_memory_event grown = events_of_call({kBrk, kHeap + kMiB}, kHeap + kMiB).at(0);
  EXPECT_EQ(grown.change, TR_MEMORY_MAP);
  EXPECT_EQ(grown.address, kHeap);
  EXPECT_EQ(grown.length, kMiB);
  main_.task.brk = kHeap + kMiB;
  const std::vector<tr_memory_event> shrunk = events_of_call({kBrk, kHeap}, kHeap);
  ASSERT_EQ(shrunk.size(), 2U);
  EXPECT_EQ(shrunk[0].change, TR_MEMORY_TAKE);
  EXPECT_EQ(shrunk[0].length, kMiB);
}

TEST_F(MemoryTest, WhatIsMappedWithinAnAllocatorCallIsTheAllocators) {
  main_.enter(kMalloc, {100});
  main_.sp -= 64;
  EXPECT_TRUE(events_of_call({kMmap, 0, kMiB, kReadWrite, kAnonymous}, kPlace).at(0).flags & TR_MEMORY_BY_ALLOCATOR);
  main_.sp += 64;
  main_.leave(kHeap);
  EXPECT_FALSE(events_of_call({kMmap, 0, kMiB, kReadWrite, kAnonymous}, kPlace).at(0).flags & TR_MEMORY_BY_ALLOCATOR);
  EXPECT_EQ(totals().alloc_bytes, 100U);
}

TEST_F(MemoryTest, TheStackOfTheCallInFlightIsNotSpoiled) {
  kernel_.busy_lookups = 1;
  main_.enter(kMalloc, {100});
  fault(kHeap);
  main_.leave(kHeap);
  EXPECT_EQ(faults(), 1U);
  EXPECT_FALSE(frames(stack_id(kHeap)).empty());
}

TEST_F(MemoryTest, PagesTouchedForTheFirstTimeAreCounted) {
  fault(kHeap);
  fault(kHeap + 4096);
  EXPECT_EQ(faults(), 2U);
}

TEST_F(MemoryTest, PagesThatAreThereAndAddressesOfTheKernelAreNotTouches) {
  fault(kHeap, kPresent);
  fault(0xffff888000000000);
  main_.task.pagefault_disabled = 1;
  fault(kHeap);
  EXPECT_EQ(faults(), 0U);
}

TEST_F(MemoryTest, NothingIsToldOfOthersOrWhileNothingIsRecorded) {
  globals_.recording = 0;
  EXPECT_TRUE(events_of_call({kMmap, 0, kMiB, kReadWrite, kAnonymous}, kPlace).empty());
  fault(kHeap);
  globals_.recording = 1;
  main_.task.tgid = 6000;
  EXPECT_TRUE(events_of_call({kMmap, 0, kMiB, kReadWrite, kAnonymous}, kPlace).empty());
  fault(kHeap);
  EXPECT_EQ(faults(), 0U);
}

TEST_F(MemoryTest, AnEventForWhichThereIsNoRoomIsCountedAsLost) {
  kernel_.set_capacity("memory_events", 64);
  enter({kMunmap, kPlace, kMiB});
  enter({kMunmap, kPlace, kMiB});
  EXPECT_EQ(lost(TR_LOSS_MAPPINGS_FULL), 1U);
}

}  // namespace
}  // namespace tracer::bpf_host
