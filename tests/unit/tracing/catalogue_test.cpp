// SPDX-License-Identifier: Apache-2.0
#include "tracing/catalogue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace tracer::tracing {
namespace {

const FamilySet kAll = ~FamilySet();

FamilySet only(Family family) { return FamilySet().set(index_of(family)); }

TEST(CatalogueTest, HoldsEachNameOnce) {
  const Catalogue catalogue(kAll);
  std::set<std::string_view> names;
  for (const Function& function : catalogue.functions())
    EXPECT_TRUE(names.insert(function.name).second) << function.name;
  EXPECT_GT(names.size(), 200U);
}

TEST(CatalogueTest, ACookieSaysWhatTheRowSays) {
  const Catalogue catalogue(kAll);
  for (const Function& function : catalogue.functions()) {
    const std::uint64_t cookie = function.cookie();
    EXPECT_EQ(TR_COOKIE_CALL(cookie), static_cast<unsigned>(function.call)) << function.name;
    EXPECT_EQ(TR_COOKIE_SIZE_ARG(cookie), function.size_arg) << function.name;
    EXPECT_EQ(TR_COOKIE_COUNT_ARG(cookie), function.count_arg) << function.name;
    EXPECT_EQ(TR_COOKIE_POINTER_ARG(cookie), function.pointer_arg) << function.name;
    EXPECT_EQ((cookie & TR_COOKIE_EXITS) != 0, function.ends_at_exits()) << function.name;
  }
}

TEST(CatalogueTest, EveryAllocationHasASizeAndEveryFreeABlock) {
  const Catalogue catalogue(kAll);
  for (const Function& function : catalogue.functions()) {
    if (!function.is_allocator()) continue;
    const bool takes_a_block = function.call != TR_CALL_ALLOC;
    EXPECT_EQ(function.size_arg != 0, function.call != TR_CALL_FREE) << function.name;
    EXPECT_EQ(function.pointer_arg != 0, takes_a_block) << function.name;
    EXPECT_LE(std::max({function.size_arg, function.count_arg, function.pointer_arg}), 4) << function.name;
  }
}

// A return probe on a function that an exception passes aborts the program.
TEST(CatalogueTest, NoOperatorNewThatThrowsHasAReturnProbe) {
  const Catalogue catalogue(kAll);
  const std::set<std::string_view> throwing{"_Znwm",
                                            "_Znam",
                                            "_ZnwmSt11align_val_t",
                                            "_ZnamSt11align_val_t",
                                            "tc_new",
                                            "tc_new_aligned",
                                            "tc_newarray",
                                            "tc_newarray_aligned",
                                            "mi_new",
                                            "mi_new_n",
                                            "mi_new_aligned",
                                            "mi_new_realloc",
                                            "mi_new_reallocn",
                                            "mi_heap_alloc_new",
                                            "mi_heap_alloc_new_n"};
  for (const Function& function : catalogue.functions()) {
    EXPECT_EQ(function.may_throw, throwing.contains(function.name)) << function.name;
    EXPECT_FALSE(function.may_throw && function.needs_return()) << function.name;
  }
}

TEST(CatalogueTest, FamiliesAreChosenByName) {
  for (const char* name : {"libc", "cxx", "jemalloc", "tcmalloc", "mimalloc", "python", "cuda"}) {
    ASSERT_TRUE(family_named(name)) << name;
    EXPECT_STREQ(family_name(*family_named(name)), name);
    EXPECT_NE(family_names().find(name), std::string::npos);
  }
  EXPECT_FALSE(family_named("loader"));
  EXPECT_FALSE(family_named(""));
  const Catalogue usual;
  EXPECT_NE(usual.find("malloc", "libc.so.6"), nullptr);
  EXPECT_EQ(usual.find("cudaMalloc", "libcudart.so"), nullptr);
  EXPECT_EQ(usual.find("PyMem_Malloc", "python3"), nullptr);
  const Catalogue cuda(only(Family::kCuda));
  EXPECT_NE(cuda.find("cudaMalloc", "libcudart.so"), nullptr);
  EXPECT_EQ(cuda.find("malloc", "libc.so.6"), nullptr);
  EXPECT_NE(cuda.find("_dl_debug_state", "ld.so"), nullptr) << "libraries are followed all the same";
}

TEST(CatalogueTest, WantsEachNameOnceAndWhatCallsMain) {
  const Catalogue catalogue;
  const std::vector<std::string_view> names = catalogue.wanted_names();
  EXPECT_EQ(std::set(names.begin(), names.end()).size(), names.size());
  EXPECT_NE(std::ranges::find(names, kMainCaller), names.end());
}

TEST(CatalogueTest, TheUsersWordComesFirstInTheFilesThatHeNames) {
  Function own{"malloc", Family::kOwn, TR_CALL_ALLOC, 2, 0, 0, true, "libpool*.so"};
  Function path{"get", Family::kOwn, TR_CALL_ALLOC, 1, 0, 0, true, "/opt/*/libpool.so"};
  const Catalogue catalogue(default_families(), {own, path});
  EXPECT_EQ(catalogue.find("malloc", "/usr/lib/libpool-2.so")->family, Family::kOwn);
  EXPECT_EQ(catalogue.find("malloc", "libpool.so")->size_arg, 2);
  EXPECT_EQ(catalogue.find("malloc", "/usr/lib/libc.so.6")->family, Family::kLibc);
  EXPECT_NE(catalogue.find("get", "/opt/x/libpool.so"), nullptr);
  EXPECT_EQ(catalogue.find("get", "/usr/lib/libpool.so"), nullptr);
}

}  // namespace
}  // namespace tracer::tracing
