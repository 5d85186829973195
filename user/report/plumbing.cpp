// SPDX-License-Identifier: Apache-2.0
#include "report/plumbing.h"

#include <algorithm>
#include <span>

namespace tracer::report {
namespace {

// Bare names; a `*` at the end stands for anything.
constexpr std::string_view kAllocator[] = {
    // C++
    "operator new",
    "operator new[]",
    "std::*",
    "__gnu_cxx::*",
    // Rust
    "__rust_alloc*",
    "__rust_realloc*",
    "__rdl_*",
    "__rg_*",
    "alloc::*",
    "core::*",
    "hashbrown::*",
    // C libraries that have allocators of their own name
    "g_malloc*",
    "g_realloc*",
    "g_slice_alloc*",
    "xmalloc",
    "xcalloc",
    "xrealloc",
};

constexpr std::string_view kStart[] = {
    "_start",
    "__libc_start_main*",
    "__libc_start_call_main",
    "libc_start_main_stage2",
    "start_thread",
    "clone",
    "__clone",
    "clone3",
    "__clone3",
    "thread_start",
    "execute_native_thread_routine",
    // What runs the function of a std::thread, and of a Rust program or thread.
    "std::*",
    "core::ops::function::*",
    "alloc::boxed::*",
    "__rust_begin_short_backtrace",
    "__rust_try",
    "main::__rust_begin_short_backtrace",
};

bool matches(std::string_view name, std::string_view pattern) {
  if (!pattern.ends_with('*')) return name == pattern;
  pattern.remove_suffix(1);
  return name.starts_with(pattern);
}

bool matches_any(std::string_view function, std::span<const std::string_view> patterns) {
  const std::string name = bare_name(function);
  return std::ranges::any_of(patterns, [&](std::string_view pattern) { return matches(name, pattern); });
}

/// The standard libraries of C++ (GCC's and LLVM's) and Rust, as their source files lie.
bool is_standard(std::string_view file) {
  constexpr std::string_view kPlaces[] = {"/include/c++/", "/library/alloc/", "/library/core/", "/library/std/"};
  return std::ranges::any_of(kPlaces,
                             [&](std::string_view place) { return file.find(place) != std::string_view::npos; });
}

/// Where the operator's name ends in "operator new(…)", "operator<<(…)", "operator()(…)"; npos: no operator.
std::size_t end_of_operator(std::string_view function, std::size_t at) {
  constexpr std::string_view kWord = "operator";
  if (!function.substr(at).starts_with(kWord)) return std::string_view::npos;
  if (at > 0 && function[at - 1] != ':' && function[at - 1] != ' ') return std::string_view::npos;
  std::size_t end = at + kWord.size();
  if (function.substr(end).starts_with("()")) return end + 2;
  return std::min(function.find('(', end), function.size());
}

/// "<alloc::vec::Vec<T> as core::clone::Clone>::clone": Rust's names of methods of traits begin with a type.
std::string_view without_trait(std::string_view function) {
  if (!function.starts_with('<')) return function;
  function.remove_prefix(1);
  return function.substr(0, std::min(function.find(" as "), function.find('>')));
}

}  // namespace

std::string bare_name(std::string_view function) {
  function = without_trait(function);
  std::string name;
  int depth = 0;  // of template arguments
  for (std::size_t i = 0; i < function.size(); ++i) {
    const char letter = function[i];
    if (depth == 0) {
      if (const std::size_t end = end_of_operator(function, i); end != std::string_view::npos)
        return name.append(function.substr(i, end - i));
      if (letter == '(' && !function.substr(i).starts_with("(anonymous namespace)")) break;
      // What stood before was a return type, or the word "const".
      if (letter == ' ' && !function.substr(i).starts_with(" namespace)")) name.clear();
    }
    if (letter == '>') --depth;
    if (depth == 0 && letter != ' ' && letter != '<' && letter != '>') name += letter;
    if (letter == '<') ++depth;
  }
  if (name.ends_with("::")) name.resize(name.size() - 2);
  return name;
}

bool is_allocator_plumbing(std::string_view function, std::string_view file) {
  return is_standard(file) || matches_any(function, kAllocator);
}

bool is_start_plumbing(std::string_view function, std::string_view file) {
  return is_standard(file) || matches_any(function, kStart);
}

}  // namespace tracer::report
