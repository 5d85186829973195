// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf_host/harness.h"

#include <numeric>

namespace tracer::bpf_host {

Thread::Thread(std::uint32_t tgid, std::uint32_t pid) {
  task = {.tgid = tgid,
          .pid = pid,
          .exit_code = 0,
          .live_threads = 1,
          .trampoline = kTrampoline,
          .layout = 0,
          .executable_pages = 0,
          .start_stack = 0,
          .brk = 0,
          .pagefault_disabled = 0,
          .uid = 0,
          .parent_tgid = 1,
          .started_ns = 0,
          .comm = {},
          .cgroups = {},
          .pid_namespace = 0,
          .vdso = 0,
          .returns = {},
          .return_count = 0};
  FakeKernel::instance().memory.map(stack_start(), kStackSize);
  sp = stack_start() + kStackSize / 4;
  set_callers({0x555555555149});
}

std::uint64_t Thread::stack_start() const { return 0x7f0000000000 + std::uint64_t{task.pid} * 0x100000; }

void Thread::set_record(std::uint64_t at, std::uint64_t frame_pointer, std::uint64_t return_address) {
  FakeKernel::instance().memory.write(at, frame_pointer);
  FakeKernel::instance().memory.write(at + 8, return_address);
}

void Thread::set_callers(const std::vector<std::uint64_t>& return_addresses) {
  return_address_ = return_addresses.at(0);
  bp = return_addresses.size() > 1 ? record(0) : 0;
  for (std::size_t i = 1; i < return_addresses.size(); ++i)
    set_record(record(i - 1), i + 1 < return_addresses.size() ? record(i) : 0, return_addresses[i]);
}

void Thread::enter(std::uint64_t cookie, const Arguments& arguments) {
  const host_registers registers{.ip = ip,
                                 .sp = sp,
                                 .bp = bp,
                                 .ax = 0,
                                 .di = arguments.first,
                                 .si = arguments.second,
                                 .dx = arguments.third,
                                 .r10 = 0,
                                 .orig_ax = 0,
                                 .cx = arguments.fourth,
                                 .r11 = 0,
                                 .flags = 0};
  TargetMemory& memory = FakeKernel::instance().memory;
  memory.write(sp, return_address_);
  host_heap_entry(&task, &registers, cookie);
  // The kernel puts its trampoline there after the entry programs have run.
  const std::uint32_t call = TR_COOKIE_CALL(cookie);
  const bool gives_blocks = call != TR_CALL_FREE && call != TR_CALL_THROW && call != TR_CALL_MARK;
  const bool has_return_probe = gives_blocks && (cookie & TR_COOKIE_EXITS) == 0;
  if (has_return_probe) memory.write(sp, task.trampoline);
}

void Thread::leave(std::uint64_t result) {
  const host_registers registers{.ip = task.trampoline,
                                 .sp = sp + 8,
                                 .bp = bp,
                                 .ax = result,
                                 .di = 0,
                                 .si = 0,
                                 .dx = 0,
                                 .r10 = 0,
                                 .orig_ax = 0,
                                 .cx = 0,
                                 .r11 = 0,
                                 .flags = 0};
  host_heap_return(&task, &registers);
}

void Thread::exit(std::uint64_t cookie, host_registers registers) {
  registers.sp = sp - TR_EXIT_STACK_BYTES(cookie);
  host_heap_exit(&task, &registers, cookie);
}

void Thread::call(std::uint64_t cookie, const Arguments& arguments, std::uint64_t result) {
  enter(cookie, arguments);
  leave(result);
}

Totals& Totals::operator+=(const Totals& other) {
  alloc_objects += other.alloc_objects;
  alloc_bytes += other.alloc_bytes;
  free_objects += other.free_objects;
  free_bytes += other.free_bytes;
  birth_ticks += other.birth_ticks;
  return *this;
}

HostTest::HostTest() : space_((kernel_.reset(), 0)), main_(kTgid, kTgid) {
  kernel_.set_capacity("faults", kStackCapacity + TR_MAX_SPACES);
  globals_ = {};
  *host_filter() = {};
  *host_misuse() = {};
  globals_.recording = 1;
  globals_.next_space = 1;
  globals_.next_serial = 1;
  globals_.next_stack = 1;
  globals_.next_module = 1;
  for (const char* by_stack : {"stacks", "young", "unverified", "variances"})
    kernel_.set_capacity(by_stack, kStackCapacity + TR_MAX_SPACES);
  config_ = {.follow = 1,
             .count_layout = 0,
             .max_frames = TR_MAX_FRAMES,
             .max_stacks = kStackCapacity,
             .max_chunks = kStackCapacity,
             .use_tables = 0,
             .all = 0,
             .sample_level = 0,
             .min_size = 0,
             .max_size = ~0ULL,
             .sample_bytes = 1024};
  space_ = attach(kTgid);
}

HostTest::~HostTest() { EXPECT_EQ(kernel_.open_reservations(), 0U) << "reserved in the ring buffer, never submitted"; }

std::uint32_t HostTest::attach(std::uint32_t tgid, std::uint32_t hold) {
  const std::uint32_t id = globals_.next_space++;
  space(id).serial = globals_.next_serial++;
  space(id).tgid = tgid;
  space(id).users = 1;
  sample(id, static_cast<std::uint16_t>(config_.sample_level));
  const tr_process process{id, hold};
  kernel_.map("processes").update(&tgid, &process, 0);
  return id;
}

void HostTest::sample(std::uint32_t of_space, std::uint16_t level) {
  if (level != 0) space(of_space).sampled = 1;
  space(of_space).sample_level = level;
}

std::vector<std::uint32_t> HostTest::stack_ids() const {
  std::vector<std::uint32_t> ids;
  for (std::uint32_t id = 0; id < globals_.next_stack; ++id) ids.push_back(id);
  for (std::uint32_t id = 1; id < globals_.next_space; ++id) ids.push_back(no_stack(id));
  return ids;
}

void HostTest::advance_generation() {
  const std::uint32_t slot = (globals_.generation + 2) % TR_YOUNG_SLOTS;
  for (const std::uint32_t id : stack_ids()) {
    kernel_.at<tr_young>("young", id).units[slot] = 0;
    kernel_.at<tr_young>("young", id).bytes[slot] = 0;
  }
  ++globals_.generation;
}

void HostTest::pause(const std::function<void()>& meanwhile) {
  globals_.recording = 0;
  meanwhile();
  ++globals_.pause;
  for (const std::uint32_t id : stack_ids()) {
    const tr_stack& of = stack(id);
    kernel_.at<tr_unverified>("unverified", id) = {of.alloc_units - of.free_units, of.alloc_bytes - of.free_bytes};
    kernel_.at<tr_young>("young", id) = {};
  }
  globals_.generation += TR_YOUNG_WINDOW;
  globals_.recording = 1;
}

Unverified HostTest::unverified() {
  Unverified out;
  for (const std::uint32_t id : stack_ids()) {
    out.objects += objects_of(kernel_.at<tr_unverified>("unverified", id).units);
    out.bytes += kernel_.at<tr_unverified>("unverified", id).bytes;
  }
  return out;
}

const tr_block* HostTest::block(std::uint64_t address, std::uint32_t in_space) {
  return kernel_.find<tr_block>("blocks", tr_block_key{address, in_space, space(in_space).serial});
}

std::uint64_t HostTest::stored_frame(const tr_stack& stack, std::uint32_t i) {
  const auto* chunk = &kernel_.at<tr_stack_chunk>("stack_chunks", stack.first_chunk);
  for (; i >= TR_CHUNK_FRAMES; i -= TR_CHUNK_FRAMES) chunk = &kernel_.at<tr_stack_chunk>("stack_chunks", chunk->next);
  return chunk->frame[i];
}

std::vector<std::uint64_t> HostTest::frames(std::uint32_t stack_id) {
  const tr_stack& of = stack(stack_id);
  std::vector<std::uint64_t> out;
  for (std::uint32_t i = 0; i < of.frame_count; ++i) {
    const std::uint64_t frame = stored_frame(of, i);
    EXPECT_EQ((frame & TR_FRAME_EXACT) != 0, i == 0) << "frame " << i;
    out.push_back(frame & ~(TR_FRAME_EXACT | TR_FRAME_BY_FP));
  }
  return out;
}

Totals HostTest::totals_of(const tr_stack& stack) {
  return {objects_of(stack.alloc_units), stack.alloc_bytes, objects_of(stack.free_units), stack.free_bytes,
          stack.birth_ticks};
}

Totals HostTest::totals(std::uint32_t of_space) {
  Totals out;
  for (const std::uint32_t id : stack_ids())
    if (stack(id).space == of_space || id == no_stack(of_space)) out += totals_of(stack(id));
  return out;
}

std::pair<std::uint64_t, std::uint64_t> HostTest::young() {
  std::uint64_t objects = 0;
  std::uint64_t bytes = 0;
  for (const std::uint32_t id : stack_ids()) {
    const auto& entry = kernel_.at<tr_young>("young", id);
    for (std::uint32_t age = 0; age < TR_YOUNG_WINDOW; ++age) {
      objects += objects_of(entry.units[(globals_.generation - age) % TR_YOUNG_SLOTS]);
      bytes += entry.bytes[(globals_.generation - age) % TR_YOUNG_SLOTS];
    }
  }
  return {objects, bytes};
}

std::uint64_t HostTest::lost() const {
  return std::accumulate(std::begin(globals_.losses), std::end(globals_.losses), std::uint64_t{0});
}

std::vector<tr_event> HostTest::events_of(tr_event_type type) {
  std::vector<tr_event> out = kernel_.drain_events();
  std::erase_if(out, [type](const tr_event& event) { return event.type != type; });
  return out;
}

}  // namespace tracer::bpf_host
