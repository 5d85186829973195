// SPDX-License-Identifier: Apache-2.0
#include "library/library.h"

#include <array>

namespace tracer::library {
namespace {

constexpr std::size_t kStates = 5;
constexpr bool kAllowed[kStates][kStates] = {
    // to: Seen, Inspected, Armed, Disarmed, Retired
    {false, true, false, false, true},   // from Seen
    {false, false, true, true, true},    // from Inspected
    {false, false, false, true, true},   // from Armed
    {false, false, true, false, true},   // from Disarmed
    {true, false, false, false, false},  // from Retired
};

}  // namespace

const char* state_name(State state) {
  static constexpr std::array<const char*, kStates> kNames{"seen", "inspected", "armed", "disarmed", "retired"};
  return kNames[static_cast<std::size_t>(state)];
}

bool is_allowed(State from, State to) { return kAllowed[static_cast<std::size_t>(from)][static_cast<std::size_t>(to)]; }

void Library::advance(State to) {
  TRACER_CHECK(is_allowed(state_, to));
  state_ = to;
}

void Library::inspected(std::optional<elf::ElfImage> image) {
  advance(State::kInspected);
  image_ = std::move(image);
  was_inspected_ = true;
}

void Library::retire() {
  advance(State::kRetired);
  file_.reset();
}

void Library::see_again(const FileIdentity& identity, const std::string& path, UniqueFd file) {
  advance(State::kSeen);
  identity_ = identity;
  path_ = path;
  file_ = std::move(file);
}

}  // namespace tracer::library
