// SPDX-License-Identifier: Apache-2.0
#include "library/library.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <array>
#include <set>
#include <utility>

namespace tracer::library {
namespace {

constexpr std::array kStates{State::kSeen, State::kInspected, State::kArmed, State::kDisarmed, State::kRetired};

UniqueFd any_file() { return UniqueFd(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)); }

/// A library in the state, brought there by allowed arrows only.
Library in_state(State state) {
  Library library(0, FileIdentity{}, "/lib/libx.so", any_file());
  if (state == State::kSeen) return library;
  if (state == State::kRetired) {
    library.retire();
    return library;
  }
  library.inspected(std::nullopt);
  if (state == State::kArmed) library.advance(State::kArmed);
  if (state == State::kDisarmed) library.advance(State::kDisarmed);
  return library;
}

TEST(LibraryStateTest, HasExactlyTheArrowsOfTheDiagram) {
  const std::set<std::pair<State, State>> arrows{
      {State::kSeen, State::kInspected},     {State::kSeen, State::kRetired},      {State::kInspected, State::kArmed},
      {State::kInspected, State::kDisarmed}, {State::kInspected, State::kRetired}, {State::kArmed, State::kDisarmed},
      {State::kArmed, State::kRetired},      {State::kDisarmed, State::kArmed},    {State::kDisarmed, State::kRetired},
      {State::kRetired, State::kSeen}};
  for (State from : kStates) {
    for (State to : kStates) {
      EXPECT_EQ(is_allowed(from, to), arrows.contains({from, to})) << state_name(from) << " to " << state_name(to);
    }
  }
}

TEST(LibraryStateDeathTest, AbortsOnEveryArrowThatTheDiagramLacks) {
  for (State from : kStates) {
    for (State to : kStates) {
      if (is_allowed(from, to)) continue;
      Library library = in_state(from);
      EXPECT_DEATH(library.advance(to), "internal error") << state_name(from) << " to " << state_name(to);
    }
  }
}

TEST(LibraryStateTest, ARetiredLibraryHoldsNoFileAndKeepsItsNumberWhenMappedAgain) {
  Library library(7, FileIdentity{8, 1, 1, 2, 3, 4}, "/lib/libx.so", any_file());
  library.inspected(std::nullopt);
  library.advance(State::kArmed);
  library.advance(State::kDisarmed);
  library.retire();
  EXPECT_FALSE(library.file().valid());
  library.see_again(FileIdentity{}, "/lib/liby.so", any_file());
  EXPECT_TRUE(library.file().valid());
  EXPECT_EQ(library.state(), State::kSeen);
  EXPECT_EQ(library.module_id(), 7U);
  EXPECT_EQ(library.path(), "/lib/liby.so");
}

// The order of events that makes in-process profilers write to unmapped memory: a library that is merely known when
// heap tracing starts again must not be taken for an armed or a mapped one.
TEST(LibraryStateTest, AnUnloadedLibraryIsNotArmedByStartingAgain) {
  Library library = in_state(State::kArmed);
  library.advance(State::kDisarmed);
  library.retire();
  EXPECT_FALSE(is_allowed(library.state(), State::kArmed));
}

}  // namespace
}  // namespace tracer::library
