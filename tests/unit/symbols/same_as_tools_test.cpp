// SPDX-License-Identifier: Apache-2.0
// Frames, their order, functions, files and lines against the two tools that everybody has, for every instruction.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <regex>

#include "other_tools.h"
#include "program.h"
#include "symbols/symbolizer.h"

namespace tracer::symbols {
namespace {

/// Three levels of inlining in a library of Rust, with a closure, a generic function and a method of an enumeration.
constexpr const char* kRustSource = R"(
#[derive(Clone, Copy)]
pub enum Kind { Small, Large(u32) }
impl Kind {
    #[inline(never)]
    pub fn weight(self, extra: u32) -> u32 {
        match self { Kind::Small => outer(extra), Kind::Large(n) => outer(n).wrapping_mul(extra) }
    }
}
#[inline(always)]
fn innermost(value: u32) -> u32 {
    let slot = unsafe { std::ptr::read_volatile(&value) };
    slot.wrapping_mul(3) ^ (slot >> 1)
}
#[inline(always)]
fn middle(value: u32) -> u32 {
    let mut sum = 0u32;
    for i in 0..value { sum = sum.wrapping_add(innermost(i)); }
    sum
}
#[inline(always)]
fn outer(value: u32) -> u32 {
    if value > 3 { middle(value) } else { innermost(value) }
}
#[inline(never)]
fn twice<T: Fn(u32) -> u32>(f: T, value: u32) -> u32 { f(value).wrapping_add(f(value + 1)) }
#[no_mangle]
pub extern "C" fn rust_entry(value: u32) -> u32 {
    let base = Kind::Large(value).weight(2).wrapping_add(Kind::Small.weight(value));
    twice(|n| middle(n).wrapping_add(base), value)
}
)";

/// Instructions between the first and the last function that a pattern of names finds.
std::vector<std::uint64_t> instructions_of(const std::string& path, const std::string& pattern) {
  std::vector<std::uint64_t> addresses;
  std::istringstream lines(output_of("nm -S " + path + " | grep -E ' [tTwW] .*(" + pattern + ")'"));
  for (std::string line; std::getline(lines, line);) {
    const std::uint64_t begin = std::stoull(line, nullptr, 16);
    const std::uint64_t end = begin + std::stoull(line.substr(17), nullptr, 16);
    std::istringstream code(
        output_of(fmt::format("objdump -d --no-show-raw-insn --start-address={} --stop-address={} {} | sed -n 's/^ "
                              "*\\([0-9a-f]*\\):\\t.*/\\1/p'",
                              begin, end, path)));
    for (std::string address; std::getline(code, address);) addresses.push_back(std::stoull(address, nullptr, 16));
  }
  return addresses;
}

/// The tools call a copy of a function that the compiler made by the name of the copy, "f.isra.0": tracer by its own.
std::vector<std::string> without_clones(std::vector<std::string> frames) {
  static const std::regex kClone("\\.(isra|constprop|part|cold)(\\.[0-9]+)? at ");
  for (std::string& frame : frames) frame = std::regex_replace(frame, kClone, " at ");
  return frames;
}

void expect_same(const std::string& tool, const std::string& path, const std::vector<std::uint64_t>& addresses) {
  ASSERT_GT(addresses.size(), 100U);
  FramesByAddress expected = frames_by(tool, path, addresses);
  ASSERT_EQ(expected.size(), addresses.size());
  Symbolizer symbolizer(Options{.inlines = true, .demangle = false});
  symbolizer.add_module(0, {path, "", UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), ""});
  std::size_t deep = 0;
  for (const std::uint64_t address : addresses) {
    std::vector<std::string> frames;
    for (const SourceFrame& frame : symbolizer.symbolize({0, 0, address, true})) frames.push_back(line_of(frame));
    EXPECT_EQ(frames, without_clones(expected[address])) << fmt::format("{} at {:#x}", tool, address);
    if (frames.size() > 3) ++deep;
  }
  EXPECT_GT(deep, 5U);
}

TEST(SameAsToolsTest, NamesEveryInstructionAsLlvmSymbolizerDoes) {
  for (const char* flags : {"-gdwarf-5", "-gdwarf-4 -gz"}) {
    const Program program(flags);
    expect_same("llvm-addr2line", program.path(), program.instructions());
  }
}

TEST(SameAsToolsTest, NamesEveryInstructionOfARustLibraryAsBothToolsDo) {
  for (const char* mangling : {"", "-C symbol-mangling-version=v0 "}) {
    TempDirectory directory;
    write_file(directory / "shop.rs", kRustSource);
    run("cd " + directory.path() + " && /usr/bin/rustc --crate-type cdylib -g -C opt-level=2 " + mangling +
        // Far from 0, where the dead code that the linker dropped leaves its lines, which both tools believe.
        "-C link-arg=-Wl,--build-id,-Ttext-segment=0x40000000 shop.rs -o libshop.so");
    const std::string path = directory / "libshop.so";
    const std::vector<std::uint64_t> addresses = instructions_of(path, "rust_entry|4shop.*(weight|twice)");
    expect_same("addr2line", path, addresses);
    expect_same("llvm-addr2line", path, addresses);
  }
}

}  // namespace
}  // namespace tracer::symbols
