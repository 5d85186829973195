// SPDX-License-Identifier: Apache-2.0
// Registers, cookies and stacks of noise: whatever a target does, the programs stay within their bounds (the sanitizers
// watch) and the books stay consistent.
#include <map>
#include <random>

#include "tests/bpf_host/harness.h"

namespace tracer::bpf_host {
namespace {

class FuzzTest : public HostTest {
 protected:
  static constexpr int kRounds = 30'000;

  std::uint64_t random(std::uint64_t below) { return generator_() % below; }
  /// An address in the stack, at its edges, or anything.
  std::uint64_t random_word() {
    switch (random(8)) {
      case 0:
        return generator_();
      case 1:
        return random(64);
      case 2:
        return ~random(64);
      case 3:
        return main_.stack_start() + Thread::kStackSize - random(40);
      case 4:
        return kTrampoline;
      case 5:
        return kHeap + random(64) * 16;
      default:
        return main_.stack_start() + random(Thread::kStackSize / 8) * 8;
    }
  }
  void scribble() {
    for (int i = 0; i < 64; ++i)
      kernel_.memory.write(main_.stack_start() + random(Thread::kStackSize / 8) * 8, random_word());
  }
  host_registers registers() {
    return {.ip = random_word(),
            .sp = random_word(),
            .bp = random_word(),
            .ax = random_word(),
            .di = random_word(),
            .si = random_word(),
            .dx = random_word(),
            .cx = random_word(),
            .r11 = random_word(),
            .flags = generator_()};
  }
  void run_any_program() {
    const host_registers noise = registers();
    host_task task = main_.task;
    task.pid += static_cast<std::uint32_t>(random(3));
    task.trampoline = random(10) == 0 ? 0 : kTrampoline;
    // Kinds of call, known and not, with any choice of arguments.
    const std::uint64_t cookie = (generator_() & ~0xffULL) | random(TR_CALL_LOADER_STATE + 2);
    switch (random(16)) {
      case 7:
        return host_heap_exit(&task, &noise, generator_());
      case 0:
        return host_library_entry(&task);
      case 1:
      case 2:
      case 3:
      case 4:
        return host_heap_return(&task, &noise);
      case 5:
        globals_.generation += static_cast<std::uint32_t>(random(3));
        return;
      case 6:
        return sample(space_, static_cast<std::uint16_t>(random(4)));
      default:
        host_heap_entry(&task, &noise, cookie);
        if (random(2) == 0) return;
        host_registers back = noise;
        back.sp = noise.sp + 8;
        back.ax = random_word();
        if ((cookie & TR_COOKIE_EXITS) == 0) return host_heap_return(&task, &back);
        back.sp = noise.sp;
        return host_heap_exit(&task, &back, TR_EXIT(0, 0, 0, 0));
    }
  }

  std::mt19937_64 generator_{1};
};

TEST_F(FuzzTest, NoiseBreaksNeitherBoundsNorBooks) {
  for (int i = 0; i < kRounds; ++i) {
    if (i % 16 == 0) scribble();
    if (i % 256 == 0) config_.max_frames = 2 + static_cast<std::uint32_t>(random(TR_MAX_FRAMES - 1));
    run_any_program();
    if (i % 1000 == 0) kernel_.drain_events();
  }
  const Totals sums = totals();
  EXPECT_GT(sums.alloc_objects, 1000U);
  EXPECT_EQ(sums.live_bytes(), space(space_).live_bytes);
  EXPECT_LE(globals_.next_stack, config_.max_stacks);
  for (std::uint32_t id = 1; id < globals_.next_stack; ++id) {
    const tr_stack& stored = stack(id);
    EXPECT_LE(stored.frame_count, TR_MAX_FRAMES);
    EXPECT_LT(stored.end, TR_END_COUNT);
    EXPECT_LE(stored.free_units, stored.alloc_units);
    // Nothing at all is known when not even the probed instruction is code.
    if (stored.space != 0 && stored.frame_count == 0) {
      EXPECT_TRUE(stored.end == TR_END_FRAME || stored.end == TR_END_NOT_STORED) << stored.end;
    }
  }
}

TEST_F(FuzzTest, NoiseInTheUnwindTablesBreaksNoBounds) {
  constexpr std::uint32_t kWords = 512;
  config_.use_tables = 1;
  kernel_.set_capacity("unwind_words", kWords / 2);
  // One file everywhere: whatever the noise takes for code has a table.
  kernel_.mappings[kTgid] = {{.start = 0,
                              .end = ~0ULL,
                              .file_offset = 0,
                              .executable = 1,
                              .has_file = 1,
                              .key = {},
                              .path = "/x",
                              .own = 0,
                              .others = 0}};
  std::uint32_t ends_seen = 0;
  for (int i = 0; i < kRounds; ++i) {
    if (i % 16 == 0) scribble();
    if (i % 64 == 0) {
      tr_table& table = kernel_.at<tr_table>("tables", 1);
      table.low = random(4) == 0 ? generator_() : 0;
      table.first_word = static_cast<std::uint32_t>(random(8) == 0 ? generator_() : random(kWords));
      table.bucket_count = static_cast<std::uint32_t>(generator_());
      table.state = static_cast<std::uint32_t>(random(3));
      for (std::uint32_t w = 0; w < kWords / 2; ++w)
        kernel_.at<tr_words>("unwind_words", w) = {
            {static_cast<std::uint32_t>(random(kWords)), static_cast<std::uint32_t>(generator_())}};
      for (std::uint32_t r = 0; r < TR_MAX_RULES; r += 1 + static_cast<std::uint32_t>(random(200))) {
        tr_rule& rule = kernel_.at<tr_rule>("rules", r);
        rule.cfa = static_cast<std::uint8_t>(random(TR_CFA_UNSUPPORTED + 3));
        rule.fp = static_cast<std::uint8_t>(random(16)) & 15U;
        rule.add8 = static_cast<std::uint8_t>(random(16)) & 15U;
        rule.fp_offset = static_cast<std::int16_t>(static_cast<std::int64_t>(random(512)) * 8 - 2048);
        rule.cfa_offset = static_cast<std::int32_t>(random(16) == 0 ? generator_() : random(512) * 8);
      }
      main_.task.layout += 2;
    }
    run_any_program();
    if (i % 1000 == 0) {
      kernel_.drain_events();
      kernel_.drain_raw_stacks();
    }
  }
  for (std::uint32_t id = 1; id < globals_.next_stack; ++id) {
    const tr_stack& stored = stack(id);
    EXPECT_LE(stored.frame_count, TR_MAX_FRAMES);
    const unsigned end = stored.end & ~TR_END_RAW;
    ASSERT_LT(end, TR_END_COUNT);
    ends_seen |= 1U << end;
  }
  for (const tr_stack_end end :
       {TR_END_ROOT, TR_END_FRAME, TR_END_UNSUPPORTED, TR_END_FAULT, TR_END_NO_TABLE, TR_END_NO_CODE})
    EXPECT_TRUE(ends_seen & 1U << end) << "noise never led to end " << end;
}

TEST_F(FuzzTest, EveryBlockInTheTableIsLiveInItsStack) {
  config_.sample_bytes = 64;  // the sizes of noise are either small or huge
  for (int i = 0; i < kRounds; ++i) {
    if (i % 16 == 0) scribble();
    run_any_program();
  }
  std::map<std::uint32_t, std::uint64_t> units;
  bool has_sampled = false;
  kernel_.map("blocks").for_each([&](const void*, const void* value) {
    const auto& block = *static_cast<const tr_block*>(value);
    units[block.stack_id] += TR_OBJECT_UNITS;
    has_sampled = has_sampled || block.level != 0;
  });
  EXPECT_FALSE(units.empty());
  EXPECT_TRUE(has_sampled);
  for (const auto& [id, count] : units) EXPECT_LE(count, stack(id).alloc_units - stack(id).free_units);
}

}  // namespace
}  // namespace tracer::bpf_host
