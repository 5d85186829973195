// SPDX-License-Identifier: Apache-2.0
// The fake keeps the kernel's rules; what rests on it would prove little otherwise.
#include "tests/bpf_host/fake_kernel.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace tracer::bpf_host {
namespace {

constexpr std::uint64_t kAny = 0;
constexpr std::uint64_t kNoExist = 1;
constexpr std::uint64_t kExist = 2;

class FakeKernelTest : public testing::Test {
 protected:
  FakeKernelTest() { kernel_.reset(); }

  long put(std::uint64_t key, std::uint32_t value, std::uint64_t flags) {
    return kernel_.map("stack_ids").update(&key, &value, flags);
  }

  FakeKernel& kernel_ = FakeKernel::instance();
};

TEST_F(FakeKernelTest, AHashRefusesWhatTheFlagsForbid) {
  EXPECT_EQ(put(1, 10, kExist), -ENOENT);
  EXPECT_EQ(put(1, 10, kNoExist), 0);
  EXPECT_EQ(put(1, 11, kNoExist), -EEXIST);
  EXPECT_EQ(put(1, 12, kExist), 0);
  EXPECT_EQ(put(1, 13, 3), -EINVAL);
  EXPECT_EQ(*kernel_.find<std::uint32_t>("stack_ids", std::uint64_t{1}), 12U);
}

TEST_F(FakeKernelTest, AFullHashTakesNoNewElementAndUpdatesOldOnes) {
  kernel_.set_capacity("stack_ids", 2);
  EXPECT_EQ(put(1, 10, kAny), 0);
  EXPECT_EQ(put(2, 20, kAny), 0);
  EXPECT_EQ(put(3, 30, kAny), -E2BIG);
  EXPECT_EQ(put(2, 21, kAny), 0);
  EXPECT_EQ(put(2, 21, kNoExist), -EEXIST) << "said before it is said that the map is full";
}

TEST_F(FakeKernelTest, RemovingTwiceFails) {
  const std::uint64_t key = 1;
  put(key, 10, kAny);
  EXPECT_EQ(kernel_.map("stack_ids").remove(&key), 0);
  EXPECT_EQ(kernel_.map("stack_ids").remove(&key), -ENOENT);
  EXPECT_EQ(kernel_.map("stack_ids").find(&key), nullptr);
}

TEST_F(FakeKernelTest, AnArrayHasAllItsElementsAndNoOthers) {
  kernel_.set_capacity("stacks", 4);
  EXPECT_NE(kernel_.find<tr_stack>("stacks", std::uint32_t{3}), nullptr);
  EXPECT_EQ(kernel_.find<tr_stack>("stacks", std::uint32_t{4}), nullptr);
  const std::uint32_t outside = 4;
  const tr_stack value{};
  EXPECT_EQ(kernel_.map("stacks").update(&outside, &value, kAny), -E2BIG);
  EXPECT_EQ(kernel_.map("stacks").remove(&outside), -EINVAL);
}

TEST_F(FakeKernelTest, MapsHaveTheSizesOfTheirDeclarations) {
  EXPECT_EQ(kernel_.map("spaces").capacity(), static_cast<std::uint32_t>(TR_MAX_SPACES));
  EXPECT_EQ(kernel_.map("blocks").capacity(), 1024U);
}

TEST_F(FakeKernelTest, AReadBeyondTheEndOfARangeFails) {
  kernel_.memory.map(0x1000, 16);
  kernel_.memory.write(0x1008, 42);
  std::uint64_t word = 0;
  EXPECT_TRUE(kernel_.memory.read(0x1008, &word, 8));
  EXPECT_EQ(word, 42U);
  EXPECT_FALSE(kernel_.memory.read(0x1009, &word, 8));
  EXPECT_FALSE(kernel_.memory.read(0xfff, &word, 8));
  EXPECT_FALSE(kernel_.memory.read(~0ULL, &word, 8));
}

TEST_F(FakeKernelTest, TheRingBufferIsFullUntilItIsDrained) {
  kernel_.set_capacity("events", 2 * (sizeof(tr_event) + 8));
  void* first = kernel_.reserve("events", sizeof(tr_event));
  void* second = kernel_.reserve("events", sizeof(tr_event));
  EXPECT_EQ(kernel_.reserve("events", sizeof(tr_event)), nullptr);
  EXPECT_EQ(kernel_.open_reservations(), 2U);
  kernel_.finish_record(first, true);
  kernel_.finish_record(second, true);
  EXPECT_EQ(kernel_.drain_events().size(), 2U);
  void* third = kernel_.reserve("events", sizeof(tr_event));
  ASSERT_NE(third, nullptr);
  kernel_.finish_record(third, false);
}

TEST_F(FakeKernelTest, AThreadsStorageIsClearedAndItsOwn) {
  auto* first = static_cast<std::uint64_t*>(kernel_.task_storage(1, 8, true));
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(*first, 0U);
  *first = 7;
  EXPECT_EQ(kernel_.task_storage(1, 8, false), first);
  EXPECT_EQ(kernel_.task_storage(2, 8, false), nullptr);
  kernel_.forget_thread(1);
  EXPECT_EQ(kernel_.task_storage(1, 8, false), nullptr);
}

}  // namespace
}  // namespace tracer::bpf_host
