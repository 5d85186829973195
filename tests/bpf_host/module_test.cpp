// SPDX-License-Identifier: Apache-2.0
// From addresses to files: what is believed, for how long, and what is met for the first time.
#include <cstring>

#include "tests/bpf_host/harness.h"

namespace tracer::bpf_host {
namespace {

constexpr std::uint64_t kLibcBase = 0x7ffff7e00000;
constexpr std::uint64_t kPluginBase = 0x7ffff7000000;
constexpr std::uint64_t kCaller = kPluginBase + 0x2149;

host_mapping file_at(std::uint64_t start, std::uint64_t inode, const char* path) {
  return {.start = start,
          .end = start + 0x200000,
          .file_offset = 0x1000,
          .executable = 1,
          .has_file = 1,
          .key = {.inode = inode, .changed_ns = 5, .size = 4096, .device = 8 << 20 | 1, .generation = 77},
          .path = path,
          .own = 0,
          .others = 0};
}

class ModuleTest : public HostTest {
 protected:
  ModuleTest() {
    kernel_.mappings[kTgid] = {file_at(kLibcBase, 1, "/lib/libc.so.6"), file_at(kPluginBase, 2, "/opt/plugins/a.so")};
    main_.set_callers({kCaller});
  }

  const tr_module& module(std::uint32_t id) { return kernel_.at<tr_module>("module_info", id); }
  host_mapping& plugin() { return kernel_.mappings[kTgid].at(1); }
  /// The frames of an allocation made now.
  std::vector<std::uint64_t> frames_now() {
    main_.malloc(1, next_address_ += 16);
    return frames(stack_id(next_address_));
  }
  std::uint32_t module_of_caller() { return TR_FRAME_MODULE(frames_now().at(1)); }
  /// Another thread of the process maps or unmaps something.
  void change_layout() { main_.task.layout += 2; }

 private:
  std::uint64_t next_address_ = kHeap;
};

TEST_F(ModuleTest, AFrameIsAFileAndAnOffsetInIt) {
  const std::vector<std::uint64_t> found = frames_now();
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(TR_FRAME_OFFSET(found[0]), kMallocSite - kLibcBase + 0x1000);
  EXPECT_EQ(TR_FRAME_OFFSET(found[1]), kCaller - kPluginBase + 0x1000);
  EXPECT_EQ(module(TR_FRAME_MODULE(found[0])).key.inode, 1U);
  EXPECT_EQ(module(TR_FRAME_MODULE(found[1])).key.inode, 2U);
}

TEST_F(ModuleTest, AFileIsInUseWhenAnotherProcessMapsIt) {
  const std::uint64_t somewhere = kPluginBase + 0x1000;
  EXPECT_EQ(host_is_mapped(&main_.task, somewhere), 0);
  plugin().own = 7;
  EXPECT_EQ(host_is_mapped(&main_.task, somewhere), 0) << "our own mappings do not count";
  plugin().others = 1;
  EXPECT_EQ(host_is_mapped(&main_.task, somewhere), 1) << "also behind all of our own";
  plugin() = file_at(kPluginBase, 2, "/opt/plugins/a.so");
  plugin().others = 60;
  EXPECT_EQ(host_is_mapped(&main_.task, somewhere), 1);
  EXPECT_LT(host_is_mapped(&main_.task, 0x1000), 0) << "nothing is mapped there";
}

TEST_F(ModuleTest, AFileIsMetOnceAndItsEntrySaysAllThereIs) {
  kernel_.time_ns = 1234;
  module_of_caller();
  const std::uint32_t id = module_of_caller();
  const std::vector<tr_event> events = events_of(TR_EVENT_MODULE);
  ASSERT_EQ(events.size(), 2U);  // libc and the plugin
  EXPECT_EQ(events[1].value, id);
  EXPECT_EQ(events[1].space, space_);
  const tr_module& met = module(id);
  EXPECT_EQ(met.known, 1U);
  EXPECT_EQ(met.tgid, kTgid);
  EXPECT_EQ(met.start, kPluginBase);
  EXPECT_EQ(met.file_offset, 0x1000U);
  EXPECT_EQ(met.time_ns, 1234U);
  EXPECT_EQ(met.key.generation, 77U);
  EXPECT_EQ(met.key.changed_ns, 5U);
  ASSERT_EQ(met.path_parts, 3U);
  EXPECT_EQ(std::memcmp(met.path, "a.so\0plugins\0opt", 17), 0);
}

TEST_F(ModuleTest, AnAddressIsLookedUpAgainOnlyWhenTheLayoutHasChanged) {
  module_of_caller();
  const std::uint64_t lookups = kernel_.lookups;
  module_of_caller();
  EXPECT_EQ(kernel_.lookups, lookups);
  change_layout();
  module_of_caller();
  EXPECT_EQ(kernel_.lookups, lookups + 2);
}

TEST_F(ModuleTest, AWriterAtWorkIsNoChangeYet) {
  module_of_caller();
  const std::uint64_t lookups = kernel_.lookups;
  main_.task.layout |= 1;
  kernel_.busy_lookups = 1000;
  EXPECT_EQ(module(module_of_caller()).key.inode, 2U);
  EXPECT_EQ(kernel_.lookups, lookups);
}

TEST_F(ModuleTest, AnotherLibraryAtTheSameAddressIsKnownAtOnce) {
  const std::uint32_t first = module_of_caller();
  plugin() = file_at(kPluginBase, 3, "/opt/plugins/b.so");
  change_layout();
  const std::uint32_t second = module_of_caller();
  EXPECT_NE(first, second);
  EXPECT_EQ(module(second).key.inode, 3U);
}

TEST_F(ModuleTest, AFileThatComesBackHasItsNumberAtAnyAddress) {
  const std::uint32_t first = module_of_caller();
  plugin().start -= 0x1000000;
  plugin().end -= 0x1000000;
  main_.set_callers({kCaller - 0x1000000});
  change_layout();
  EXPECT_EQ(module_of_caller(), first);
  EXPECT_EQ(events_of(TR_EVENT_MODULE).size(), 2U) << "met once";
}

TEST_F(ModuleTest, WhateverDiffersInTheInodeIsAnotherFile) {
  std::vector<std::uint32_t> numbers{module_of_caller()};
  const auto with = [&](auto change) {
    plugin() = file_at(kPluginBase, 2, "/opt/plugins/a.so");
    change(plugin().key);
    change_layout();
    numbers.push_back(module_of_caller());
  };
  with([](tr_file_key& key) { key.generation++; });
  with([](tr_file_key& key) { key.changed_ns++; });
  with([](tr_file_key& key) { key.size++; });
  with([](tr_file_key& key) { key.device++; });
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) EXPECT_NE(numbers[i], numbers[j]);
  }
  with([](tr_file_key&) {});
  EXPECT_EQ(numbers.back(), numbers.front());
}

TEST_F(ModuleTest, AStackEndsBeforeAnAddressThatIsNoCode) {
  main_.set_callers({kCaller, 0x1234567, kCaller});
  EXPECT_EQ(frames_now().size(), 2U);
  plugin().executable = 0;
  change_layout();
  EXPECT_EQ(frames_now().size(), 1U);
  EXPECT_EQ(lost(), 0U);
}

TEST_F(ModuleTest, CodeOfNoFileKeepsItsAddress) {
  plugin().has_file = 0;
  const std::uint64_t frame = frames_now().at(1);
  EXPECT_EQ(TR_FRAME_MODULE(frame), 0U);
  EXPECT_EQ(TR_FRAME_OFFSET(frame), kCaller);
}

TEST_F(ModuleTest, AReturnAddressBehindTheLastInstructionBelongsToTheCall) {
  const std::uint64_t end = plugin().end;
  main_.set_callers({end});
  EXPECT_EQ(TR_FRAME_OFFSET(frames_now().at(1)), end - kPluginBase + 0x1000);
}

TEST_F(ModuleTest, AStackThatCannotBeLookedUpAtTheEntryIsLookedUpAtTheReturn) {
  kernel_.busy_lookups = 1000;
  main_.enter(kMalloc, {10});
  kernel_.busy_lookups = 0;
  main_.leave(kHeap);
  const std::vector<std::uint64_t> found = frames(stack_id(kHeap));
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(module(TR_FRAME_MODULE(found[1])).key.inode, 2U);
}

TEST_F(ModuleTest, AShortWriterIsWaitedFor) {
  kernel_.busy_lookups = 3;
  EXPECT_EQ(module(module_of_caller()).key.inode, 2U);
}

TEST_F(ModuleTest, WhatCannotBeLookedUpAtTheReturnEitherIsLeftToUserSpace) {
  main_.announce();
  kernel_.busy_lookups = 1000;
  const std::vector<std::uint64_t> found = frames_now();
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0], TR_FRAME(TR_MODULE_UNKNOWN, kMallocSite));
  EXPECT_EQ(found[1], TR_FRAME(TR_MODULE_UNKNOWN, kCaller));
  EXPECT_EQ(stack(1).announcements, 1U);
  EXPECT_EQ(totals().alloc_bytes, 1U) << "counted all the same";
  main_.announce();
  frames_now();
  EXPECT_EQ(kernel_.map("stack_ids").size(), 2U) << "the address may mean another library by now";
}

TEST_F(ModuleTest, WhileNoLibraryHasComeOrGoneABusyAddressMeansWhatItMeant) {
  module_of_caller();
  change_layout();
  kernel_.busy_lookups = 1000;
  EXPECT_EQ(module(module_of_caller()).key.inode, 2U);
  main_.announce();
  EXPECT_EQ(module_of_caller(), static_cast<std::uint32_t>(TR_MODULE_UNKNOWN));
}

TEST_F(ModuleTest, TheNumberOfExecutablePagesTellsOfALibraryTooThatNobodyAnnounced) {
  module_of_caller();
  change_layout();
  main_.task.executable_pages++;
  kernel_.busy_lookups = 1000;
  EXPECT_EQ(module_of_caller(), static_cast<std::uint32_t>(TR_MODULE_UNKNOWN));
}

TEST_F(ModuleTest, ABusyAddressThatWasNeverSeenMayLieInARangeThatWas) {
  module_of_caller();
  change_layout();
  main_.set_callers({kCaller + 0x4000});
  kernel_.busy_lookups = 1000;
  const std::vector<std::uint64_t> found = frames_now();
  EXPECT_EQ(module(TR_FRAME_MODULE(found.at(1))).key.inode, 2U);
  EXPECT_EQ(TR_FRAME_OFFSET(found.at(1)), kCaller + 0x4000 - kPluginBase + 0x1000);
  // Another thread of the process too; another process not.
  Thread second(kTgid, 4243);
  second.set_callers({kCaller + 0x6000});
  second.malloc(1, kHeap + 0x9000);
  EXPECT_EQ(TR_FRAME_MODULE(frames(stack_id(kHeap + 0x9000)).at(1)), TR_FRAME_MODULE(found.at(1)));
  const std::uint32_t other_space = attach(5000);
  Thread other(5000, 5000);
  other.set_callers({kCaller + 0x6000});
  other.malloc(1, kHeap);
  EXPECT_EQ(TR_FRAME_MODULE(frames(block(kHeap, other_space)->stack_id).at(1)),
            static_cast<std::uint32_t>(TR_MODULE_UNKNOWN));
}

TEST_F(ModuleTest, AnAddressThatIsNoCodeIsRememberedAsSuch) {
  main_.set_callers({kCaller, 0x1234567, kCaller});
  EXPECT_EQ(frames_now().size(), 2U);
  const std::uint64_t lookups = kernel_.lookups;
  EXPECT_EQ(frames_now().size(), 2U);
  EXPECT_EQ(kernel_.lookups, lookups);
}

TEST_F(ModuleTest, TwoProcessesWithOtherFilesAtOneAddressAreApart) {
  const std::uint32_t first = module_of_caller();
  const std::uint32_t second_space = attach(5000);
  Thread other(5000, 5000);
  other.set_callers({kCaller});
  kernel_.mappings[5000] = {file_at(kLibcBase, 1, "/lib/libc.so.6"), file_at(kPluginBase, 9, "/opt/other.so")};
  other.malloc(1, kHeap);
  const std::uint64_t frame = frames(block(kHeap, second_space)->stack_id).at(1);
  EXPECT_EQ(module(TR_FRAME_MODULE(frame)).key.inode, 9U);
  EXPECT_EQ(module_of_caller(), first);
}

TEST_F(ModuleTest, AnotherThreadThatMeetsTheFileAtTheSameInstantGivesItsNumber) {
  Thread other(kTgid, 4243);
  other.set_callers({kCaller});
  kernel_.interrupt_before(FakeKernel::Step::kUpdate, "modules", [&] { other.malloc(1, kHeap + 0x8000); });
  const std::vector<std::uint64_t> mine = frames_now();
  EXPECT_EQ(mine, frames(stack_id(kHeap + 0x8000)));
  // The number that was given out in vain is never known.
  EXPECT_EQ(module(1).known + module(2).known + module(3).known, 2U);
}

TEST_F(ModuleTest, WhenTheTableOfFilesIsFullFramesKeepTheirAddressesAndSaySo) {
  module_of_caller();
  globals_.next_module = TR_MAX_MODULES;
  plugin() = file_at(kPluginBase, 3, "/opt/plugins/b.so");
  change_layout();
  const std::uint64_t frame = frames_now().at(1);
  EXPECT_EQ(TR_FRAME_MODULE(frame), static_cast<std::uint32_t>(TR_MODULE_UNNUMBERED));
  EXPECT_EQ(TR_FRAME_OFFSET(frame), kCaller);
  EXPECT_EQ(globals_.next_module, static_cast<std::uint32_t>(TR_MAX_MODULES));
}

TEST_F(ModuleTest, UserSpaceLearnsTheNumberOfAFileByMappingIt) {
  const std::uint32_t known = module_of_caller();
  host_task tracer{};
  tracer.tgid = tracer.pid = 1;
  host_mapping mapping = file_at(0x10000, 2, "/opt/plugins/a.so");
  mapping.executable = 0;
  kernel_.mappings[1] = {mapping};
  EXPECT_EQ(host_identify(&tracer, 0x10000), static_cast<int>(known));
  EXPECT_EQ(host_identify(&tracer, 0x5000), -2) << "nothing is mapped there";
  kernel_.busy_lookups = 1;
  EXPECT_EQ(host_identify(&tracer, 0x10000), -16);
}

TEST_F(ModuleTest, ANameThatIsTooLongIsCutAndALongPathIsNotKeptWhole) {
  const std::string name(100, 'x');
  const std::string path = "/" + name + "/" + name + "/" + name + "/" + name + "/a.so";
  plugin() = file_at(kPluginBase, 2, path.c_str());
  const tr_module& met = module(module_of_caller());
  EXPECT_STREQ(met.path, "a.so");
  EXPECT_EQ(std::strlen(met.path + 5), 63U);
  EXPECT_EQ(met.path_parts, 4U);
}

class CountedLayoutTest : public ModuleTest {
 protected:
  CountedLayoutTest() { config_.count_layout = 1; }
};

TEST_F(CountedLayoutTest, WhereTheKernelDoesNotCountChangesSystemCallsDo) {
  const std::uint32_t first = module_of_caller();
  plugin() = file_at(kPluginBase, 3, "/opt/plugins/b.so");
  EXPECT_EQ(module_of_caller(), first) << "nobody has said anything";
  host_mapping_change(&main_.task);
  EXPECT_EQ(space(space_).layout, 1U);
  EXPECT_NE(module_of_caller(), first);
}

TEST_F(CountedLayoutTest, OnlyTracedProcessesAreCounted) {
  host_task stranger = main_.task;
  stranger.tgid = 6000;
  host_mapping_change(&stranger);
  EXPECT_EQ(space(space_).layout, 0U);
}

class PauseTest : public HostTest {};

TEST_F(PauseTest, BlocksOfBeforeAreUnverifiedUntilTheyAreFreed) {
  main_.malloc(100, kHeap);
  main_.malloc(50, kHeap + 0x100);
  pause();
  EXPECT_EQ(unverified().objects, 2U);
  EXPECT_EQ(unverified().bytes, 150U);
  main_.free(kHeap);
  EXPECT_EQ(unverified().objects, 1U);
  EXPECT_EQ(unverified().bytes, 50U);
  main_.malloc(7, kHeap);
  main_.free(kHeap);
  EXPECT_EQ(unverified().objects, 1U) << "one of after the pause";
  EXPECT_EQ(lost(), 0U);
}

TEST_F(PauseTest, AnAddressThatIsHandedOutAgainWasFreedInThePause) {
  main_.malloc(100, kHeap);
  pause();
  main_.malloc(30, kHeap);
  EXPECT_EQ(unverified().objects, 0U);
  EXPECT_EQ(totals().live_bytes(), 30U);
  EXPECT_EQ(space(space_).live_bytes, 30U);
  EXPECT_EQ(lost(), 0U) << "it is no loss";
}

TEST_F(PauseTest, ABlockOfBeforeThatGrowsIsKnownToLive) {
  main_.malloc(100, kHeap);
  pause();
  main_.realloc(kHeap, 200, kHeap + 0x200);
  EXPECT_EQ(unverified().objects, 0U);
  EXPECT_EQ(totals().live_bytes(), 200U);
}

TEST_F(PauseTest, AFailedReallocLeavesItUnverified) {
  main_.malloc(100, kHeap);
  pause();
  main_.realloc(kHeap, 200, 0);
  EXPECT_EQ(unverified().objects, 1U);
  EXPECT_EQ(totals().live_bytes(), 100U);
}

TEST_F(PauseTest, NothingIsYoungThatIsUnverified) {
  main_.malloc(100, kHeap);
  pause();
  EXPECT_EQ(young().first, 0U);
  main_.free(kHeap);
  EXPECT_EQ(young().first, 0U) << "and it does not become less than nothing";
}

TEST_F(PauseTest, ACallThatWasInFlightIsForgottenWithoutALoss) {
  main_.enter(kMalloc, {100});
  pause();
  main_.malloc(30, kHeap);
  EXPECT_EQ(totals().alloc_bytes, 30U);
  EXPECT_EQ(lost(), 0U);
}

TEST_F(PauseTest, ACallThatWasInFlightAndReturnsAfterwardsDoesNotCount) {
  main_.enter(kMalloc, {100});
  pause();
  main_.leave(kHeap);
  EXPECT_EQ(totals().alloc_bytes, 0U);
  EXPECT_EQ(lost(), 0U);
}

TEST_F(PauseTest, AReallocThatWasInFlightLeavesItsBlockUnverified) {
  main_.malloc(100, kHeap);
  main_.enter(kRealloc, {kHeap, 200});
  pause();
  EXPECT_EQ(unverified().objects, 1U);
  main_.leave(kHeap + 0x200);
  EXPECT_EQ(unverified().objects, 1U);
  EXPECT_NE(block(kHeap), nullptr);
  EXPECT_EQ(totals().live_bytes(), 100U);
  EXPECT_EQ(lost(), 0U);
}

TEST_F(PauseTest, SeveralPausesAddUp) {
  main_.malloc(100, kHeap);
  pause();
  main_.malloc(50, kHeap + 0x100);
  pause();
  EXPECT_EQ(unverified().objects, 2U);
  main_.free(kHeap);
  main_.free(kHeap + 0x100);
  EXPECT_EQ(unverified().objects, 0U);
  EXPECT_EQ(totals().live_objects(), 0U);
}

}  // namespace
}  // namespace tracer::bpf_host
