// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

namespace tracer::elf {

/// Where in a function a probe goes.
struct ProbeSite {
  std::uint32_t offset = 0;  ///< bytes from the function's first instruction
  bool emulated = false;  ///< the kernel emulates the instruction: about 0.4 us per hit instead of 14 us single-stepped
};

/// Chooses the cheapest place for a probe that still sees the call as it was made.
///
/// The kernel emulates a few x86-64 instructions at a breakpoint and single-steps all others, which costs about 30
/// times more on a virtual machine. The site is the first emulated instruction that every call passes exactly once,
/// with the first `arguments` argument registers (of rdi, rsi, rdx, rcx), stack pointer, frame pointer and return
/// address still as at the entry. Where there is none the site is the entry itself.
///
/// `code` is the function's machine code from its entry, to its end as far as it is known (a part is fine: jumps in the
/// part that is missing are then not seen, so pass all of it). Never fails: bytes that do not decode end the search.
///
/// Source for what is emulated: arch/x86/kernel/uprobes.c, branch_setup_xol_ops() and push_setup_xol_ops().
ProbeSite select_probe_site(std::span<const std::uint8_t> code, unsigned arguments = 3);

}  // namespace tracer::elf
