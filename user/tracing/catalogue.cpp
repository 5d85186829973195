// SPDX-License-Identifier: Apache-2.0
#include "tracing/catalogue.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <span>

namespace tracer::tracing {
namespace {

struct FamilyRow {
  Family family;
  const char* name;
  bool is_default;
};
constexpr std::array kFamilies{
    FamilyRow{Family::kLibc, "libc", true},         FamilyRow{Family::kCxx, "cxx", true},
    FamilyRow{Family::kJemalloc, "jemalloc", true}, FamilyRow{Family::kTcmalloc, "tcmalloc", true},
    FamilyRow{Family::kMimalloc, "mimalloc", true}, FamilyRow{Family::kPython, "python", false},
    FamilyRow{Family::kCuda, "cuda", false},
};

struct Row {
  const char* name;
  tr_call call;
  std::uint8_t size_arg;
  std::uint8_t count_arg;
  std::uint8_t pointer_arg;
  bool may_throw = false;
};

// malloc(3), posix_memalign(3), reallocarray(3), cfree(3). Allocators that can stand beside libc's have the same
// functions with a prefix.
constexpr std::array kC{
    Row{"malloc", TR_CALL_ALLOC, 1, 0, 0},
    Row{"calloc", TR_CALL_ALLOC, 2, 1, 0},
    Row{"realloc", TR_CALL_REALLOC, 2, 0, 1},
    Row{"reallocarray", TR_CALL_REALLOC, 3, 2, 1},
    Row{"free", TR_CALL_FREE, 0, 0, 1},
    Row{"cfree", TR_CALL_FREE, 0, 0, 1},
    Row{"posix_memalign", TR_CALL_ALLOC_OUT, 3, 0, 1},
    Row{"aligned_alloc", TR_CALL_ALLOC, 2, 0, 0},
    Row{"memalign", TR_CALL_ALLOC, 2, 0, 0},
    Row{"valloc", TR_CALL_ALLOC, 1, 0, 0},
    Row{"pvalloc", TR_CALL_ALLOC, 1, 0, 0},
};

// The run-time linker interface that <link.h> describes (r_brk); Itanium C++ ABI: Exception Handling, 2.4.2.
constexpr std::array kRuntime{
    Row{"_dl_debug_state", TR_CALL_LOADER_STATE, 0, 0, 0},
    Row{"__cxa_allocate_exception", TR_CALL_THROW, 0, 0, 0},
};

// C++ [new.delete], mangled as in the Itanium C++ ABI. Only allocators and programs that define them without malloc get
// probes there. The forms with std::nothrow_t are noexcept.
constexpr std::array kCxx{
    Row{"_Znwm", TR_CALL_ALLOC, 1, 0, 0, true},
    Row{"_Znam", TR_CALL_ALLOC, 1, 0, 0, true},
    Row{"_ZnwmSt11align_val_t", TR_CALL_ALLOC, 1, 0, 0, true},
    Row{"_ZnamSt11align_val_t", TR_CALL_ALLOC, 1, 0, 0, true},
    Row{"_ZnwmRKSt9nothrow_t", TR_CALL_ALLOC, 1, 0, 0},
    Row{"_ZnamRKSt9nothrow_t", TR_CALL_ALLOC, 1, 0, 0},
    Row{"_ZnwmSt11align_val_tRKSt9nothrow_t", TR_CALL_ALLOC, 1, 0, 0},
    Row{"_ZnamSt11align_val_tRKSt9nothrow_t", TR_CALL_ALLOC, 1, 0, 0},
    Row{"_ZdlPv", TR_CALL_FREE, 0, 0, 1},
    Row{"_ZdaPv", TR_CALL_FREE, 0, 0, 1},
    Row{"_ZdlPvm", TR_CALL_FREE, 0, 0, 1},
    Row{"_ZdaPvm", TR_CALL_FREE, 0, 0, 1},
    Row{"_ZdlPvRKSt9nothrow_t", TR_CALL_FREE, 0, 0, 1},
    Row{"_ZdaPvRKSt9nothrow_t", TR_CALL_FREE, 0, 0, 1},
    Row{"_ZdlPvSt11align_val_t", TR_CALL_FREE, 0, 0, 1},
    Row{"_ZdaPvSt11align_val_t", TR_CALL_FREE, 0, 0, 1},
    Row{"_ZdlPvmSt11align_val_t", TR_CALL_FREE, 0, 0, 1},
    Row{"_ZdaPvmSt11align_val_t", TR_CALL_FREE, 0, 0, 1},
    Row{"_ZdlPvSt11align_val_tRKSt9nothrow_t", TR_CALL_FREE, 0, 0, 1},
    Row{"_ZdaPvSt11align_val_tRKSt9nothrow_t", TR_CALL_FREE, 0, 0, 1},
};

// jemalloc(3), "Non-standard API".
constexpr std::array kJemalloc{
    Row{"mallocx", TR_CALL_ALLOC, 1, 0, 0},           Row{"rallocx", TR_CALL_REALLOC, 2, 0, 1},
    Row{"xallocx", TR_CALL_RESIZE, 2, 0, 1},          Row{"dallocx", TR_CALL_FREE, 0, 0, 1},
    Row{"sdallocx", TR_CALL_FREE, 0, 0, 1},           Row{"free_sized", TR_CALL_FREE, 0, 0, 1},
    Row{"free_aligned_sized", TR_CALL_FREE, 0, 0, 1},
};
// "je_": --with-jemalloc-prefix; "_rjem_": the Rust crates jemallocator and tikv-jemallocator.
constexpr std::array kJemallocPrefixes{"je_", "_rjem_"};

// gperftools/tcmalloc.h.
constexpr std::array kTcmalloc{
    Row{"malloc_skip_new_handler", TR_CALL_ALLOC, 1, 0, 0},
    Row{"free_sized", TR_CALL_FREE, 0, 0, 1},
    Row{"new", TR_CALL_ALLOC, 1, 0, 0, true},
    Row{"new_nothrow", TR_CALL_ALLOC, 1, 0, 0},
    Row{"new_aligned", TR_CALL_ALLOC, 1, 0, 0, true},
    Row{"new_aligned_nothrow", TR_CALL_ALLOC, 1, 0, 0},
    Row{"newarray", TR_CALL_ALLOC, 1, 0, 0, true},
    Row{"newarray_nothrow", TR_CALL_ALLOC, 1, 0, 0},
    Row{"newarray_aligned", TR_CALL_ALLOC, 1, 0, 0, true},
    Row{"newarray_aligned_nothrow", TR_CALL_ALLOC, 1, 0, 0},
    Row{"delete", TR_CALL_FREE, 0, 0, 1},
    Row{"delete_sized", TR_CALL_FREE, 0, 0, 1},
    Row{"delete_nothrow", TR_CALL_FREE, 0, 0, 1},
    Row{"delete_aligned", TR_CALL_FREE, 0, 0, 1},
    Row{"delete_sized_aligned", TR_CALL_FREE, 0, 0, 1},
    Row{"delete_aligned_nothrow", TR_CALL_FREE, 0, 0, 1},
    Row{"deletearray", TR_CALL_FREE, 0, 0, 1},
    Row{"deletearray_sized", TR_CALL_FREE, 0, 0, 1},
    Row{"deletearray_nothrow", TR_CALL_FREE, 0, 0, 1},
    Row{"deletearray_aligned", TR_CALL_FREE, 0, 0, 1},
    Row{"deletearray_sized_aligned", TR_CALL_FREE, 0, 0, 1},
    Row{"deletearray_aligned_nothrow", TR_CALL_FREE, 0, 0, 1},
};

// mimalloc.h. mi_strdup() and its like are not there: no argument is a size.
constexpr std::array kMimalloc{
    Row{"zalloc", TR_CALL_ALLOC, 1, 0, 0},
    Row{"malloc_small", TR_CALL_ALLOC, 1, 0, 0},
    Row{"zalloc_small", TR_CALL_ALLOC, 1, 0, 0},
    Row{"mallocn", TR_CALL_ALLOC, 2, 1, 0},
    Row{"malloc_aligned", TR_CALL_ALLOC, 1, 0, 0},
    Row{"malloc_aligned_at", TR_CALL_ALLOC, 1, 0, 0},
    Row{"zalloc_aligned", TR_CALL_ALLOC, 1, 0, 0},
    Row{"zalloc_aligned_at", TR_CALL_ALLOC, 1, 0, 0},
    Row{"calloc_aligned", TR_CALL_ALLOC, 2, 1, 0},
    Row{"calloc_aligned_at", TR_CALL_ALLOC, 2, 1, 0},
    Row{"expand", TR_CALL_REALLOC, 2, 0, 1},
    Row{"reallocn", TR_CALL_REALLOC, 3, 2, 1},
    Row{"reallocf", TR_CALL_REALLOC, 2, 0, 1},
    Row{"rezalloc", TR_CALL_REALLOC, 2, 0, 1},
    Row{"recalloc", TR_CALL_REALLOC, 3, 2, 1},
    Row{"realloc_aligned", TR_CALL_REALLOC, 2, 0, 1},
    Row{"realloc_aligned_at", TR_CALL_REALLOC, 2, 0, 1},
    Row{"rezalloc_aligned", TR_CALL_REALLOC, 2, 0, 1},
    Row{"rezalloc_aligned_at", TR_CALL_REALLOC, 2, 0, 1},
    Row{"recalloc_aligned", TR_CALL_REALLOC, 3, 2, 1},
    Row{"recalloc_aligned_at", TR_CALL_REALLOC, 3, 2, 1},
    Row{"free_size", TR_CALL_FREE, 0, 0, 1},
    Row{"free_size_aligned", TR_CALL_FREE, 0, 0, 1},
    Row{"free_aligned", TR_CALL_FREE, 0, 0, 1},
    Row{"new", TR_CALL_ALLOC, 1, 0, 0, true},
    Row{"new_n", TR_CALL_ALLOC, 2, 1, 0, true},
    Row{"new_aligned", TR_CALL_ALLOC, 1, 0, 0, true},
    Row{"new_nothrow", TR_CALL_ALLOC, 1, 0, 0},
    Row{"new_aligned_nothrow", TR_CALL_ALLOC, 1, 0, 0},
    Row{"new_realloc", TR_CALL_REALLOC, 2, 0, 1, true},
    Row{"new_reallocn", TR_CALL_REALLOC, 3, 2, 1, true},
    Row{"heap_malloc", TR_CALL_ALLOC, 2, 0, 0},
    Row{"heap_zalloc", TR_CALL_ALLOC, 2, 0, 0},
    Row{"heap_calloc", TR_CALL_ALLOC, 3, 2, 0},
    Row{"heap_mallocn", TR_CALL_ALLOC, 3, 2, 0},
    Row{"heap_malloc_small", TR_CALL_ALLOC, 2, 0, 0},
    Row{"heap_malloc_aligned", TR_CALL_ALLOC, 2, 0, 0},
    Row{"heap_malloc_aligned_at", TR_CALL_ALLOC, 2, 0, 0},
    Row{"heap_zalloc_aligned", TR_CALL_ALLOC, 2, 0, 0},
    Row{"heap_zalloc_aligned_at", TR_CALL_ALLOC, 2, 0, 0},
    Row{"heap_calloc_aligned", TR_CALL_ALLOC, 3, 2, 0},
    Row{"heap_calloc_aligned_at", TR_CALL_ALLOC, 3, 2, 0},
    Row{"heap_realloc", TR_CALL_REALLOC, 3, 0, 2},
    Row{"heap_reallocn", TR_CALL_REALLOC, 4, 3, 2},
    Row{"heap_reallocf", TR_CALL_REALLOC, 3, 0, 2},
    Row{"heap_rezalloc", TR_CALL_REALLOC, 3, 0, 2},
    Row{"heap_recalloc", TR_CALL_REALLOC, 4, 3, 2},
    Row{"heap_realloc_aligned", TR_CALL_REALLOC, 3, 0, 2},
    Row{"heap_realloc_aligned_at", TR_CALL_REALLOC, 3, 0, 2},
    Row{"heap_rezalloc_aligned", TR_CALL_REALLOC, 3, 0, 2},
    Row{"heap_recalloc_aligned", TR_CALL_REALLOC, 4, 3, 2},
    Row{"heap_alloc_new", TR_CALL_ALLOC, 2, 0, 0, true},
    Row{"heap_alloc_new_n", TR_CALL_ALLOC, 3, 2, 0, true},
};

// Python's C API, "Memory Management".
constexpr std::array kPython{
    Row{"Malloc", TR_CALL_ALLOC, 1, 0, 0},
    Row{"Calloc", TR_CALL_ALLOC, 2, 1, 0},
    Row{"Realloc", TR_CALL_REALLOC, 2, 0, 1},
    Row{"Free", TR_CALL_FREE, 0, 0, 1},
};
constexpr std::array kPythonPrefixes{"PyMem_Raw", "PyMem_", "PyObject_"};

// CUDA's runtime API and driver API, "Memory Management"; pitched memory is counted without its padding.
constexpr std::array kCuda{
    Row{"cudaMalloc", TR_CALL_ALLOC_OUT, 2, 0, 1},
    Row{"cudaMallocAsync", TR_CALL_ALLOC_OUT, 2, 0, 1},
    Row{"cudaMallocHost", TR_CALL_ALLOC_OUT, 2, 0, 1},
    Row{"cudaMallocManaged", TR_CALL_ALLOC_OUT, 2, 0, 1},
    Row{"cudaMallocPitch", TR_CALL_ALLOC_OUT, 3, 4, 1},
    Row{"cudaHostAlloc", TR_CALL_ALLOC_OUT, 2, 0, 1},
    Row{"cudaFree", TR_CALL_FREE, 0, 0, 1},
    Row{"cudaFreeAsync", TR_CALL_FREE, 0, 0, 1},
    Row{"cudaFreeHost", TR_CALL_FREE, 0, 0, 1},
    Row{"cuMemAlloc_v2", TR_CALL_ALLOC_OUT, 2, 0, 1},
    Row{"cuMemAllocAsync", TR_CALL_ALLOC_OUT, 2, 0, 1},
    Row{"cuMemAllocHost_v2", TR_CALL_ALLOC_OUT, 2, 0, 1},
    Row{"cuMemAllocManaged", TR_CALL_ALLOC_OUT, 2, 0, 1},
    Row{"cuMemAllocPitch_v2", TR_CALL_ALLOC_OUT, 3, 4, 1},
    Row{"cuMemHostAlloc", TR_CALL_ALLOC_OUT, 2, 0, 1},
    Row{"cuMemFree_v2", TR_CALL_FREE, 0, 0, 1},
    Row{"cuMemFreeAsync", TR_CALL_FREE, 0, 0, 1},
    Row{"cuMemFreeHost", TR_CALL_FREE, 0, 0, 1},
};

/// Rows of one family whose names begin in the same way.
struct Group {
  Family family;
  const char* prefix;
  std::span<const Row> rows;
};

std::vector<Group> groups() {
  std::vector<Group> groups{
      {Family::kRuntime, "", kRuntime}, {Family::kLibc, "", kC},
      {Family::kCxx, "", kCxx},         {Family::kJemalloc, "", kJemalloc},
      {Family::kTcmalloc, "tc_", kC},   {Family::kTcmalloc, "tc_", kTcmalloc},
      {Family::kMimalloc, "mi_", kC},   {Family::kMimalloc, "mi_", kMimalloc},
      {Family::kCuda, "", kCuda},
  };
  for (const char* prefix : kJemallocPrefixes) {
    groups.push_back({Family::kJemalloc, prefix, kC});
    groups.push_back({Family::kJemalloc, prefix, kJemalloc});
  }
  for (const char* prefix : kPythonPrefixes) groups.push_back({Family::kPython, prefix, kPython});
  return groups;
}

/// Functions whose blocks are not those of malloc and free. mimalloc's mi_new() is: mi_free() takes what it gives.
struct KindRow {
  Family family;
  std::string_view prefix;
  tr_kind kind;
};
constexpr std::array kKinds{
    KindRow{Family::kCxx, "_Znw", TR_KIND_NEW},
    KindRow{Family::kCxx, "_Zdl", TR_KIND_NEW},
    KindRow{Family::kCxx, "_Zna", TR_KIND_NEW_ARRAY},
    KindRow{Family::kCxx, "_Zda", TR_KIND_NEW_ARRAY},
    KindRow{Family::kTcmalloc, "tc_newarray", TR_KIND_NEW_ARRAY},
    KindRow{Family::kTcmalloc, "tc_deletearray", TR_KIND_NEW_ARRAY},
    KindRow{Family::kTcmalloc, "tc_new", TR_KIND_NEW},
    KindRow{Family::kTcmalloc, "tc_delete", TR_KIND_NEW},
};

tr_kind kind_of(Family family, std::string_view name) {
  const auto found = std::ranges::find_if(
      kKinds, [&](const KindRow& row) { return row.family == family && name.starts_with(row.prefix); });
  return found == kKinds.end() ? TR_KIND_C : found->kind;
}

bool lies_in(const Function& function, std::string_view path) {
  if (function.file.empty()) return true;
  // A pattern without a slash is one of the file's own name.
  const bool is_path = function.file.find('/') != std::string::npos;
  const std::string name(is_path ? path : path.substr(path.rfind('/') + 1));
  return ::fnmatch(function.file.c_str(), name.c_str(), 0) == 0;
}

}  // namespace

std::optional<Family> family_named(std::string_view name) {
  const auto found = std::ranges::find(kFamilies, name, &FamilyRow::name);
  return found == kFamilies.end() ? std::nullopt : std::optional(found->family);
}

const char* family_name(Family family) {
  const auto found = std::ranges::find(kFamilies, family, &FamilyRow::family);
  return found != kFamilies.end() ? found->name : family == Family::kOwn ? "own" : "runtime";
}

std::string family_names() {
  std::vector<std::string_view> names;
  for (const FamilyRow& row : kFamilies) names.emplace_back(row.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

FamilySet default_families() {
  FamilySet families;
  for (const FamilyRow& row : kFamilies) families.set(index_of(row.family), row.is_default);
  return families;
}

std::uint64_t Function::mark_cookie() const {
  const bool is_aligned = name.find("St11align_val_t") != std::string::npos;
  const bool frees = call == TR_CALL_FREE;
  return TR_COOKIE(TR_CALL_MARK, size_arg, is_aligned && !frees ? 2 : 0, pointer_arg) | (frees ? TR_COOKIE_FREES : 0);
}

Catalogue::Catalogue(FamilySet families, std::vector<Function> own, bool marks_operators)
    : marks_operators_(marks_operators) {
  families.set(index_of(Family::kRuntime));
  for (Function& function : own) functions_.push_back(std::move(function));
  for (const Group& group : groups()) {
    if (!families.test(index_of(group.family))) continue;
    for (const Row& row : group.rows)
      functions_.push_back({std::string(group.prefix) + row.name,
                            group.family,
                            row.call,
                            row.size_arg,
                            row.count_arg,
                            row.pointer_arg,
                            row.may_throw,
                            {},
                            kind_of(group.family, std::string(group.prefix) + row.name)});
  }
  for (const Function& function : functions_) by_name_.emplace(function.name, &function);
}

std::vector<std::string_view> Catalogue::wanted_names() const {
  std::vector<std::string_view> names{kMainCaller};
  for (const auto& [name, function] : by_name_) {
    if (names.back() != name) names.push_back(name);
  }
  return names;
}

const Function* Catalogue::find(std::string_view name, std::string_view path) const {
  const auto [first, last] = by_name_.equal_range(name);
  for (auto found = first; found != last; ++found) {
    if (lies_in(*found->second, path)) return found->second;
  }
  return nullptr;
}

}  // namespace tracer::tracing
