// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bitset>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/abi/misuse.h"
#include "bpf/abi/types.h"

namespace tracer::tracing {

/// Who a function belongs to; what --family and --no-family choose by. docs/allocators.md lists their functions.
enum class Family : std::uint8_t {
  kRuntime,  ///< the dynamic linker and what makes exceptions: always there
  kLibc,
  kCxx,
  kJemalloc,
  kTcmalloc,
  kMimalloc,
  kPython,
  kCuda,
  kOwn,  ///< named by the user with --allocator
};
inline constexpr std::size_t kFamilyCount = 9;

using FamilySet = std::bitset<kFamilyCount>;
constexpr std::size_t index_of(Family family) { return static_cast<std::size_t>(family); }

/// Those that can be chosen, by name; nullopt for a word that names none.
std::optional<Family> family_named(std::string_view name);
const char* family_name(Family family);
/// "libc, cxx, …", for messages.
std::string family_names();
/// What is traced when nothing is chosen. Interpreters' allocators and GPU memory are not: see docs/allocators.md.
FamilySet default_families();

/// A function that gets a probe wherever a mapped file defines it. A new allocator is a row in catalogue.cpp.
///
/// Arguments are counted from 1, to 4; 0 for none.
struct Function {
  std::string name;  ///< as symbol tables have it
  Family family = Family::kLibc;
  tr_call call = TR_CALL_NONE;
  std::uint8_t size_arg = 0;
  std::uint8_t count_arg = 0;    ///< the number of elements of that size
  std::uint8_t pointer_arg = 0;  ///< the block given (realloc, free), or where the new one's address is stored
  /// Whether an exception can leave it. A return probe replaces the return address on the stack, and an exception that
  /// passes such a frame ends in std::terminate: the result of such a function is read at its exits instead.
  bool may_throw = false;
  std::string file;          ///< kOwn: in files of that name only, which may have * and ?; empty: in all
  tr_kind kind = TR_KIND_C;  ///< what it gives or takes, for those who watch for misuse

  std::uint64_t cookie() const {
    return TR_COOKIE(call, size_arg, count_arg, pointer_arg) | (ends_at_exits() ? TR_COOKIE_EXITS : 0);
  }
  /// Of a probe that only tells which operator the function is that calls a counted one.
  std::uint64_t mark_cookie() const;
  bool is_heap() const { return call != TR_CALL_LOADER_STATE; }
  /// Whether it takes or gives blocks.
  bool is_allocator() const { return is_heap() && call != TR_CALL_THROW; }
  bool needs_result() const { return is_allocator() && call != TR_CALL_FREE; }
  bool needs_return() const { return needs_result() && !may_throw; }
  bool ends_at_exits() const { return needs_result() && may_throw; }
  /// Whether it may be no more than a cover of another counted function, as libstdc++'s operator new is of malloc. A
  /// free that jumps to another one would count twice, since both have the same stack pointer.
  bool may_be_wrapper() const {
    return is_allocator() && family != Family::kOwn && (call == TR_CALL_FREE || family == Family::kCxx || may_throw);
  }
};

/// The functions that a run looks for.
class Catalogue {
 public:
  /// `marks_operators`: C++ operators that are covers of counted functions are marked, so that their blocks are known.
  explicit Catalogue(FamilySet families = default_families(), std::vector<Function> own = {},
                     bool marks_operators = false);
  Catalogue(const Catalogue&) = delete;
  Catalogue& operator=(const Catalogue&) = delete;

  const std::deque<Function>& functions() const { return functions_; }
  bool marks_operators() const { return marks_operators_; }
  /// The names to read from symbol tables: those of the functions, and kMainCaller. They live as long as this.
  std::vector<std::string_view> wanted_names() const;
  /// What a symbol of the file at `path` stands for; nullptr for nothing. The user's word comes first.
  const Function* find(std::string_view name, std::string_view path) const;

 private:
  std::deque<Function> functions_;
  bool marks_operators_;
  std::multimap<std::string_view, const Function*> by_name_;  ///< the user's own first
};

/// The function of libc that calls main, itself or through a local function just before it (glibc 2.34 and later):
/// where the main thread's stack ends.
inline constexpr std::string_view kMainCaller = "__libc_start_main";

}  // namespace tracer::tracing
