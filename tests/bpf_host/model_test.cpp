// SPDX-License-Identifier: Apache-2.0
// Random calls of several threads and processes: the books and the model must agree at every moment.
#include "tests/bpf_host/model.h"

#include <algorithm>
#include <ostream>
#include <random>
#include <utility>

namespace tracer::bpf_host {
namespace {

struct Conditions {
  const char* name;
  int steps;
  std::uint32_t blocks;
  std::uint32_t stacks;
  std::uint64_t min_size;
  std::uint64_t max_size;
};

void PrintTo(const Conditions& conditions, std::ostream* out) { *out << conditions.name; }

class ModelTest : public HostTest, public testing::WithParamInterface<Conditions> {
 protected:
  static constexpr std::size_t kChains = 25;
  static constexpr std::uint64_t kAddresses = 4000;

  /// A call between its entry and its return.
  struct InFlight {
    std::uint64_t cookie = 0;
    Model::Block block;
    std::uint64_t old_address = 0;
    std::optional<Model::Block> old;
  };
  struct Actor {
    Thread thread;
    std::optional<InFlight> in_flight;
  };

  ModelTest();

  std::uint64_t random(std::uint64_t below) { return generator_() % below; }
  bool chance(std::uint64_t percent) { return random(100) < percent; }
  std::uint64_t random_address() { return kHeap + random(kAddresses) * 16; }
  std::uint64_t random_size() { return random(1ULL << random(14)); }
  std::uint32_t space_of(const Actor& actor) { return process(actor.thread.task.tgid)->space; }

  void step();
  void begin(Actor& actor);
  void begin_allocation(Actor& actor);
  void free(Actor& actor);
  void abandon(Actor& actor);
  void finish(Actor& actor);
  void finish_failed(Actor& actor, const InFlight& call);
  void call_inside(Actor& actor);
  void execute(Actor& actor);
  std::uint64_t new_address(std::uint32_t in_space);
  std::uint64_t known_address(std::uint32_t in_space);
  std::vector<std::uint64_t> chain(std::size_t index) const;
  void compare();
  void compare_each_block();
  void compare_each_stack();

  std::mt19937_64 generator_{20240521};
  Model model_;
  std::vector<Actor> actors_;
  std::uint64_t abandoned_ = 0;
  std::uint64_t nested_ = 0;
  int executions_ = 0;
  std::size_t most_blocks_ = 0;
};

ModelTest::ModelTest() {
  kernel_.set_capacity("blocks", GetParam().blocks);
  kernel_.set_capacity("stack_chunks", TR_MAX_CHUNKS * kStackCapacity);
  config_.max_chunks = TR_MAX_CHUNKS * kStackCapacity;
  config_.max_stacks = GetParam().stacks;
  config_.min_size = model_.min_size = GetParam().min_size;
  config_.max_size = model_.max_size = GetParam().max_size;
  model_.capacity = GetParam().blocks;
  globals_.generation = ~0U - 20;  // wraps on the way
  attach(5000);
  attach(6000);
  for (const std::uint32_t tid : {4242U, 4243U, 4244U, 4245U}) actors_.push_back({Thread(kTgid, tid), {}});
  for (const std::uint32_t tid : {5000U, 5001U}) actors_.push_back({Thread(5000, tid), {}});
  actors_.push_back({Thread(6000, 6000), {}});
}

std::vector<std::uint64_t> ModelTest::chain(std::size_t index) const {
  std::vector<std::uint64_t> out(1 + index * 5);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = 0x555555550000 + i * 0x100 + (i + 3 > out.size() ? index : 0);
  return out;
}

/// Where the allocator puts a block: rarely at an address whose free went unseen.
std::uint64_t ModelTest::new_address(std::uint32_t in_space) {
  std::uint64_t address = random_address();
  for (int i = 0; i < 20 && model_.blocks.contains({in_space, address}); ++i) address = random_address();
  return chance(1) ? random_address() : address;
}

/// A live block if there is one near a random address.
std::uint64_t ModelTest::known_address(std::uint32_t in_space) {
  const auto found = model_.blocks.lower_bound({in_space, random_address()});
  return found == model_.blocks.end() || found->first.first != in_space ? random_address() : found->first.second;
}

void ModelTest::begin_allocation(Actor& actor) {
  static constexpr std::uint64_t kCookies[] = {kMalloc, kCalloc, kMemalign, kPosixMemalign, kRealloc, kRealloc};
  const std::uint32_t in_space = space_of(actor);
  InFlight call{.cookie = kCookies[random(std::size(kCookies))], .block = {}, .old_address = 0, .old = {}};
  const std::size_t callers = random(kChains);
  std::uint64_t size = random_size();
  Arguments arguments;
  if (call.cookie == kMalloc) arguments = {size};
  if (call.cookie == kMemalign) arguments = {64, size};
  if (call.cookie == kPosixMemalign) arguments = {actor.thread.stack_start(), 64, size};
  if (call.cookie == kCalloc) {
    arguments = {random(5), size};
    size *= arguments.first;
  }
  if (call.cookie == kRealloc) {
    call.old_address = chance(20) ? 0 : chance(10) ? random_address() : known_address(in_space);
    if (chance(5)) size = 0;
    arguments = {call.old_address, size};
    call.old = model_.take({in_space, call.old_address});
  }
  call.block = {size, {in_space, callers}, globals_.tick, 0};
  actor.thread.set_callers(chain(callers));
  actor.thread.enter(call.cookie, arguments);
  actor.in_flight = call;
}

void ModelTest::free(Actor& actor) {
  const std::uint32_t in_space = space_of(actor);
  const std::uint64_t address = chance(3) ? 0 : chance(3) ? random_address() : known_address(in_space);
  const bool known = model_.blocks.contains({in_space, address});
  actor.thread.free(address);
  if (address != 0) model_.freed({in_space, address});
  if (!known || !chance(10)) return;
  actor.thread.sp -= 0x40;  // a wrapper's inner free
  actor.thread.free(address);
  actor.thread.sp += 0x40;
}

void ModelTest::finish_failed(Actor& actor, const InFlight& call) {
  const std::uint32_t in_space = call.block.stack.space;
  actor.thread.leave(call.cookie == kPosixMemalign ? 12 : 0);
  if (call.old_address != 0 && call.block.size == 0) {
    if (call.old)
      model_.settle_free(*call.old);
    else
      ++model_.spaces[in_space].unknown;
    return;
  }
  ++model_.spaces[in_space].failed;
  if (call.old) model_.put_back({in_space, call.old_address}, *call.old);
}

void ModelTest::finish(Actor& actor) {
  InFlight call = *std::exchange(actor.in_flight, std::nullopt);
  if (chance(5)) return finish_failed(actor, call);
  const std::uint64_t address = new_address(call.block.stack.space);
  call.block.tick = globals_.tick;
  call.block.generation = globals_.generation;
  if (call.old_address != 0 && !call.old) ++model_.spaces[call.block.stack.space].unknown;
  model_.allocated(address, call.block, call.old);
  if (call.cookie == kPosixMemalign) kernel_.memory.write(actor.thread.stack_start(), address);
  actor.thread.leave(call.cookie == kPosixMemalign ? 0 : address);
}

/// The call never returns; the thread makes another one instead.
void ModelTest::abandon(Actor& actor) {
  const InFlight call = *std::exchange(actor.in_flight, std::nullopt);
  ++abandoned_;
  if (call.old) model_.put_back({call.block.stack.space, call.old_address}, *call.old);
  begin(actor);
}

void ModelTest::begin(Actor& actor) { return chance(45) ? free(actor) : begin_allocation(actor); }

void ModelTest::call_inside(Actor& actor) {
  actor.thread.sp -= 0x40 + random(4) * 0x20;
  if (chance(50))
    actor.thread.malloc(random_size(), random_address());
  else
    actor.thread.free(known_address(space_of(actor)));
  actor.thread.sp = actor.thread.stack_start() + Thread::kStackSize / 4;
  ++nested_;
}

/// The calls in flight of all threads of the process end with its image.
void ModelTest::execute(Actor& actor) {
  if (executions_ == 4) return;
  ++executions_;
  host_process_exec(&actor.thread.task);
  for (Actor& other : actors_)
    if (other.thread.task.tgid == actor.thread.task.tgid) other.in_flight.reset();
}

void ModelTest::step() {
  Actor& actor = actors_[random(actors_.size())];
  if (chance(5)) ++globals_.tick;
  if (random(4000) == 0) advance_generation();
  // Another thread maps something: what is known of addresses has to be looked up again, and is the same.
  if (random(10'000) == 0) actor.thread.task.layout += 2;
  if (random(5000) == 0) execute(actor);
  if (!actor.in_flight) return begin(actor);
  if (chance(15)) return call_inside(actor);
  if (chance(2)) return abandon(actor);
  finish(actor);
}

void ModelTest::compare() {
  most_blocks_ = std::max(most_blocks_, model_.blocks.size());
  for (std::uint32_t id = 1; id < globals_.next_space; ++id) {
    const Model::Space& expected = model_.spaces[id];
    EXPECT_EQ(space(id).live_bytes, expected.live);
    EXPECT_EQ(space(id).peak_bytes, expected.peak);
    EXPECT_EQ(space(id).free_unknown, expected.unknown);
    EXPECT_EQ(space(id).failed_objects, expected.failed);
    EXPECT_EQ(totals(id), model_.totals(id));
    EXPECT_EQ(totals(id).live_bytes(), space(id).live_bytes);
  }
  EXPECT_EQ(kernel_.map("blocks").size(), model_.blocks.size());
  EXPECT_EQ(young(), model_.young(globals_.generation));
  EXPECT_EQ(lost(TR_LOSS_BLOCKS_FULL), model_.blocks_full);
  EXPECT_EQ(lost(TR_LOSS_FREE_MISSED), model_.free_missed);
  EXPECT_EQ(lost(TR_LOSS_CALL_ABANDONED), abandoned_);
  EXPECT_EQ(globals_.calls_nested, nested_);
}

void ModelTest::compare_each_block() {
  for (const auto& [key, expected] : model_.blocks) {
    const tr_block* found = block(key.second, key.first);
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->size, expected.size);
    EXPECT_EQ(found->birth_tick, expected.tick);
    EXPECT_EQ(found->generation, expected.generation);
  }
}

void ModelTest::compare_each_stack() {
  std::map<Model::StackKey, Totals> found;
  for (std::uint32_t id = 1; id < globals_.next_stack; ++id) {
    if (stack(id).frame_count == 0) continue;  // a space's own entry
    std::vector<std::uint64_t> callers = frames(id);
    callers.erase(callers.begin());  // the probed instruction
    for (std::size_t i = 0; i < kChains; ++i)
      if (callers == chain(i)) found[{stack(id).space, i}] += totals_of(stack(id));
  }
  std::erase_if(found, [](const auto& entry) { return entry.second == Totals{}; });
  EXPECT_EQ(found, model_.stacks);
}

TEST_P(ModelTest, TheBooksAgreeWithTheModelAtEveryThousandthStep) {
  for (int i = 0; i < GetParam().steps && !HasFailure(); ++i) {
    step();
    if (i % 1000 == 0) {
      kernel_.drain_events();
      compare();
    }
  }
  compare();
  compare_each_block();
  if (lost(TR_LOSS_STACKS_FULL) == 0) compare_each_stack();
  // Each condition has come about.
  EXPECT_GT(executions_, 0);
  EXPECT_EQ(lost(TR_LOSS_STACKS_FULL) > 0, GetParam().stacks < kStackCapacity);
  EXPECT_EQ(most_blocks_ == GetParam().blocks, GetParam().blocks < 1000);
}

INSTANTIATE_TEST_SUITE_P(, ModelTest,
                         testing::Values(Conditions{"Roomy", 200'000, 100'000, kStackCapacity, 0, ~0ULL},
                                         Conditions{"FewBlocks", 50'000, 100, kStackCapacity, 0, ~0ULL},
                                         Conditions{"FewStacks", 50'000, 100'000, 60, 0, ~0ULL},
                                         Conditions{"Filtered", 50'000, 100'000, kStackCapacity, 16, 1024}),
                         [](const auto& parameter) { return parameter.param.name; });

}  // namespace
}  // namespace tracer::bpf_host
