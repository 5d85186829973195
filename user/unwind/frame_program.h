// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "unwind/frame_section.h"
#include "unwind/frame_state.h"
#include "unwind/table.h"

namespace tracer::unwind {

/// What a common information entry says to all its functions.
struct CommonEntry {
  bool is_usable = false;
  std::uint64_t code_factor = 0;
  std::int64_t data_factor = 0;
  std::uint8_t encoding = 0;           ///< of addresses
  bool has_augmentation_data = false;  ///< its functions have some as well
  FrameState initial;
};

/// The code of one function, which is at least a byte long.
struct FunctionEntry {
  std::uint64_t start = 0;  ///< ELF vaddr
  std::uint64_t end = 0;
  std::span<const std::byte> instructions;
  const CommonEntry* common = nullptr;
};

/// Executes the call frame instructions of one section.
class FrameProgram {
 public:
  explicit FrameProgram(const FrameSection& section) : section_(section) {}

  /// Sets common->initial by a common entry's own instructions. False when they are not understood.
  bool run_initial(std::span<const std::byte> instructions, CommonEntry* common);

  /// Appends the rows of a function whose `start` is at `offset` of the file; at least one, the first at `offset`. From
  /// an instruction on that is not understood the rule is TR_CFA_UNSUPPORTED.
  void run(const FunctionEntry& function, std::uint64_t offset, std::vector<Row>* rows);

 private:
  // Compilers nest them once; what is written by hand, hardly more.
  static constexpr std::size_t kMostRemembered = 64;

  /// One instruction; those that move on set location_. False when it is not understood.
  bool step(Cursor* code);
  bool step_extended(std::uint8_t instruction, Cursor* code);
  bool step_cfa(std::uint8_t instruction, Cursor* code);
  bool step_register(std::uint8_t instruction, Cursor* code);
  bool advance(std::uint64_t count);
  bool move_to(std::optional<std::uint64_t> address);
  bool remember();
  bool recall();
  bool set_cfa(std::uint64_t number, std::int64_t offset);
  bool set_cfa_register(std::uint64_t number);
  bool set_cfa_offset(std::int64_t offset);
  bool set(std::uint64_t number, RegisterState::Kind kind, std::int64_t offset = 0);
  bool set_expression(std::uint64_t number, RegisterState::Kind kind, Cursor* code);
  bool restore(std::uint64_t number);
  RegisterState* tracked(std::uint64_t number);
  std::int64_t scaled(std::uint64_t offset) const;

  const FrameSection& section_;
  const CommonEntry* common_ = nullptr;
  FrameState state_;
  std::uint64_t location_ = 0;
  std::size_t remembered_ = 0;
  std::array<FrameState, kMostRemembered> memory_;
};

}  // namespace tracer::unwind
