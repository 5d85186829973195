// SPDX-License-Identifier: Apache-2.0
// Which probes are attached after which orders of loading, unloading, and switching on and off.
#include "tracing/probe_armer.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <map>

#include "library/library_cache.h"

namespace tracer::tracing {
namespace {

using library::Library;
using library::State;

constexpr const char* kLibc = "/lib/x86_64-linux-gnu/libc.so.6";
constexpr const char* kLoader = "/lib64/ld-linux-x86-64.so.2";
constexpr const char* kNothing = "/bin/true";

/// What is attached now: points by (program, process).
using Attached = std::map<std::pair<kernel::Program, pid_t>, std::size_t>;

class FakeLink : public kernel::ProbeLink {
 public:
  FakeLink(Attached& attached, std::pair<kernel::Program, pid_t> key, std::size_t points)
      : attached_(attached), key_(key), points_(points) {
    attached_[key_] += points_;
  }
  ~FakeLink() override {
    if ((attached_[key_] -= points_) == 0) attached_.erase(key_);
  }

 private:
  Attached& attached_;
  std::pair<kernel::Program, pid_t> key_;
  std::size_t points_;
};

class FakeAttacher : public kernel::ProbeAttacher {
 public:
  FakeAttacher(Attached& attached, int& failures) : attached_(attached), failures_(failures) {}
  Result<std::unique_ptr<kernel::ProbeLink>> attach(kernel::Program program, int file_fd,
                                                    const std::vector<kernel::ProbePoint>& points, pid_t pid) override {
    EXPECT_GE(::fcntl(file_fd, F_GETFD), 0) << "the file has to be open";
    if (failures_ > 0 && --failures_ == 0) return Error(ErrorKind::kUnsupported, "no more");
    return std::unique_ptr<kernel::ProbeLink>(
        std::make_unique<FakeLink>(attached_, std::pair(program, pid), points.size()));
  }

 private:
  Attached& attached_;
  int& failures_;
};

class ProbeArmerTest : public testing::Test {
 protected:
  static constexpr pid_t kPid = 100;

  Library& load(const char* path, std::uint32_t number) {
    library::FileIdentity identity;
    identity.inode = number;
    Library& library = *cache_.find_or_inspect(number, identity, UniqueFd(::open(path, O_RDONLY | O_CLOEXEC)), path);
    library.live_mappings++;
    return library;
  }
  Library& load_and_arm(const char* path, std::uint32_t number, pid_t pid = kPid) {
    Library& library = load(path, number);
    EXPECT_TRUE(armer_.arm(library, pid).ok());
    return library;
  }
  void unload(Library& library, pid_t pid = kPid) {
    library.live_mappings--;
    armer_.release(library, pid).clear();
    if (library.live_mappings == 0) library.retire();
  }
  std::size_t points(kernel::Program program, pid_t pid = kPid) const {
    const auto found = attached_.find({program, pid});
    return found == attached_.end() ? 0 : found->second;
  }
  std::size_t entries(pid_t pid = kPid) const { return points(kernel::Program::kHeapEntry, pid); }

  Attached attached_;
  int failures_ = 0;  ///< the attach that fails, counted down
  Catalogue catalogue_;
  library::LibraryCache cache_{catalogue_.wanted_names()};
  ProbeArmer armer_{std::make_unique<FakeAttacher>(attached_, failures_), ProbeArmer::Scope::kOneProcess, catalogue_};
};

TEST_F(ProbeArmerTest, ArmsWhatALibraryDefinesOncePerProcess) {
  Library& libc = load(kLibc, 1);
  Result<bool> first = armer_.arm(libc, kPid);
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(*first);
  const std::size_t count = entries();
  EXPECT_GT(count, 5U);
  EXPECT_EQ(libc.state(), State::kArmed);
  EXPECT_FALSE(*armer_.arm(libc, kPid)) << "again";
  EXPECT_EQ(entries(), count);
  EXPECT_TRUE(*armer_.arm(libc, 200)) << "another process";
  EXPECT_EQ(entries(200), count);
}

TEST_F(ProbeArmerTest, ALibraryThatDefinesNothingStaysInspected) {
  Library& other = load(kNothing, 1);
  EXPECT_FALSE(*armer_.arm(other, kPid));
  EXPECT_EQ(other.state(), State::kInspected);
  EXPECT_TRUE(attached_.empty());
}

TEST_F(ProbeArmerTest, TheLastProcessThatLetsGoDisarms) {
  Library& libc = load_and_arm(kLibc, 1);
  (void)armer_.arm(libc, 200);
  armer_.release(libc, kPid).clear();
  EXPECT_EQ(libc.state(), State::kArmed);
  EXPECT_EQ(entries(), 0U);
  armer_.release(libc, 200).clear();
  EXPECT_EQ(libc.state(), State::kDisarmed);
  EXPECT_TRUE(attached_.empty());
}

TEST_F(ProbeArmerTest, SwitchedOffTheDynamicLinkerIsStillWatched) {
  Library& libc = load_and_arm(kLibc, 1);
  Library& loader = load_and_arm(kLoader, 2);
  armer_.disarm_heap().clear();
  EXPECT_EQ(entries(), 0U);
  EXPECT_EQ(points(kernel::Program::kHeapReturn), 0U);
  EXPECT_EQ(points(kernel::Program::kLibraryEntry), 1U);
  EXPECT_EQ(libc.state(), State::kDisarmed);
  EXPECT_EQ(loader.state(), State::kArmed);
  EXPECT_TRUE(armer_.arm_heap().ok());
  EXPECT_GT(entries(), 5U);
  EXPECT_EQ(libc.state(), State::kArmed);
}

TEST_F(ProbeArmerTest, SwitchingTwiceIsSwitchingOnce) {
  Library& libc = load_and_arm(kLibc, 1);
  const Attached before = attached_;
  armer_.disarm_heap().clear();
  EXPECT_TRUE(armer_.disarm_heap().empty());
  EXPECT_TRUE(armer_.arm_heap().ok());
  EXPECT_TRUE(armer_.arm_heap().ok());
  EXPECT_EQ(attached_, before);
  EXPECT_EQ(libc.state(), State::kArmed);
}

// The order that makes in-process profilers write to memory that is not mapped any more.
TEST_F(ProbeArmerTest, WhatWasUnloadedWhileSwitchedOffIsNotArmedByTheNextSwitch) {
  Library& a = load_and_arm(kLibc, 1);
  armer_.disarm_heap().clear();
  unload(a);
  EXPECT_EQ(a.state(), State::kRetired);
  Library& b = load_and_arm("/lib/x86_64-linux-gnu/libc.so.6", 2);
  EXPECT_EQ(b.state(), State::kDisarmed) << "known, and not armed";
  EXPECT_TRUE(attached_.empty());
  unload(b);
  EXPECT_EQ(b.state(), State::kRetired);
  EXPECT_TRUE(armer_.arm_heap().ok());
  EXPECT_TRUE(attached_.empty()) << "nothing is mapped";
  EXPECT_EQ(a.state(), State::kRetired);
  EXPECT_EQ(b.state(), State::kRetired);
}

TEST_F(ProbeArmerTest, WhatComesBackWhileSwitchedOffIsArmedByTheNextSwitch) {
  Library& a = load_and_arm(kLibc, 1);
  const Attached before = attached_;
  armer_.disarm_heap().clear();
  unload(a);
  Library& again = load_and_arm(kLibc, 1);
  EXPECT_EQ(&again, &a);
  EXPECT_EQ(a.state(), State::kDisarmed);
  EXPECT_TRUE(attached_.empty());
  EXPECT_TRUE(armer_.arm_heap().ok());
  EXPECT_EQ(attached_, before);
}

TEST_F(ProbeArmerTest, EveryOrderOfLoadUnloadOnAndOffLeavesArmedWhatIsMappedAndOn) {
  // Each digit of a number in base 4 is a step; all sequences of 7 steps.
  for (int sequence = 0; sequence < 1 << 14; ++sequence) {
    Library* loaded = nullptr;
    bool on = true;
    int rest = sequence;
    for (int step = 0; step < 7; ++step, rest /= 4) {
      const int action = rest % 4;
      if (action == 0 && loaded == nullptr) loaded = &load_and_arm(kLibc, 1);
      if (action == 1 && loaded != nullptr) {
        unload(*loaded);
        ASSERT_EQ(loaded->state(), State::kRetired);
        loaded = nullptr;
      }
      if (action == 2) {
        ASSERT_TRUE(armer_.arm_heap().ok());
        on = true;
      }
      if (action == 3) {
        armer_.disarm_heap().clear();
        on = false;
      }
      ASSERT_EQ(entries() > 0, loaded != nullptr && on) << sequence;
      if (loaded != nullptr) {
        ASSERT_EQ(loaded->state(), on ? State::kArmed : State::kDisarmed) << sequence;
      }
    }
    if (loaded != nullptr) unload(*loaded);
    ASSERT_TRUE(armer_.arm_heap().ok());
    if (cache_.libraries().size() > 1) FAIL() << "the same file, one entry";
    if (sequence % 1024 != 0) sequence += 12;  // one in thirteen, spread over all beginnings
  }
}

TEST_F(ProbeArmerTest, AFailureToAttachLeavesNothingAttached) {
  Library& libc = load(kLibc, 1);
  failures_ = 2;  // the return probes succeed
  EXPECT_FALSE(armer_.arm(libc, kPid).ok());
  EXPECT_TRUE(attached_.empty());
  EXPECT_TRUE(*armer_.arm(libc, kPid)) << "it can be tried again";
}

TEST_F(ProbeArmerTest, AFailureToSwitchOnArmsWhatItCanAndIsTold) {
  Library& a = load_and_arm(kLibc, 1);
  Library& b = load_and_arm(kLibc, 2);
  armer_.disarm_heap().clear();
  failures_ = 1;
  EXPECT_FALSE(armer_.arm_heap().ok());
  EXPECT_EQ(a.state(), State::kDisarmed);
  EXPECT_EQ(b.state(), State::kArmed);
  EXPECT_TRUE(armer_.arm_heap().ok());
  EXPECT_EQ(a.state(), State::kArmed);
}

TEST_F(ProbeArmerTest, AfterTheEndNothingIsArmedAnyMore) {
  Library& libc = load_and_arm(kLibc, 1);
  armer_.disarm_all().clear();
  EXPECT_TRUE(attached_.empty());
  EXPECT_EQ(libc.state(), State::kDisarmed);
  EXPECT_FALSE(armer_.functions(libc).empty()) << "the last report names them";
  Library& late = load(kLibc, 2);
  EXPECT_FALSE(*armer_.arm(late, kPid));
  EXPECT_TRUE(attached_.empty());
  unload(libc);
  EXPECT_EQ(libc.state(), State::kRetired);
}

TEST_F(ProbeArmerTest, ForAllProcessesOneLinkStaysUntilTheLastMappingGoes) {
  ProbeArmer all(std::make_unique<FakeAttacher>(attached_, failures_), ProbeArmer::Scope::kAllProcesses, catalogue_);
  Library& libc = load(kLibc, 1);
  libc.live_mappings++;
  EXPECT_TRUE(*all.arm(libc, kPid));
  EXPECT_FALSE(*all.arm(libc, 200));
  EXPECT_GT(entries(-1), 5U);
  libc.live_mappings--;
  EXPECT_TRUE(all.release(libc, kPid).empty());
  EXPECT_EQ(libc.state(), State::kArmed);
  libc.live_mappings--;
  all.release(libc, 200).clear();
  EXPECT_EQ(libc.state(), State::kDisarmed);
  EXPECT_TRUE(attached_.empty());
}

}  // namespace
}  // namespace tracer::tracing
