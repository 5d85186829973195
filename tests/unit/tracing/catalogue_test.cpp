// SPDX-License-Identifier: Apache-2.0
#include "tracing/catalogue.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "library/library_cache.h"
#include "tracing/probe_plan.h"

namespace tracer::tracing {
namespace {

TEST(CatalogueTest, HoldsEachNameOnce) {
  std::set<std::string_view> names;
  for (const Function& function : catalogue()) EXPECT_TRUE(names.insert(function.name).second) << function.name;
}

TEST(CatalogueTest, ACookieSaysWhatTheRowSays) {
  for (const Function& function : catalogue()) {
    const std::uint64_t cookie = function.cookie();
    EXPECT_EQ(TR_COOKIE_CALL(cookie), static_cast<unsigned>(function.call)) << function.name;
    EXPECT_EQ(TR_COOKIE_SIZE_ARG(cookie), function.size_arg) << function.name;
    EXPECT_EQ(TR_COOKIE_COUNT_ARG(cookie), function.count_arg) << function.name;
    EXPECT_EQ(TR_COOKIE_POINTER_ARG(cookie), function.pointer_arg) << function.name;
  }
}

// A return probe on a function that an exception passes aborts the program: only functions of C that never throw may
// need one.
TEST(CatalogueTest, OnlyTheMallocFamilyHasReturnProbes) {
  const std::set<std::string_view> never_throw{"malloc",        "calloc",   "realloc", "reallocarray", "posix_memalign",
                                               "aligned_alloc", "memalign", "valloc",  "pvalloc"};
  for (const Function& function : catalogue())
    EXPECT_EQ(function.needs_return(), never_throw.contains(function.name)) << function.name;
}

class PlanTest : public testing::Test {
 protected:
  static std::vector<PlannedProbe> plan_of(const char* path) {
    const UniqueFd file(::open(path, O_RDONLY | O_CLOEXEC));
    const Result<elf::ElfImage> image = elf::ElfImage::read(file.get(), wanted_names());
    EXPECT_TRUE(image.ok());
    return plan_probes(*image, file, path);
  }
  static const PlannedProbe* find(const std::vector<PlannedProbe>& plan, std::string_view name) {
    for (const PlannedProbe& probe : plan) {
      if (std::ranges::find(probe.names, name) != probe.names.end()) return &probe;
    }
    return nullptr;
  }
};

TEST_F(PlanTest, ProbesEveryMallocFunctionOfThisMachinesLibcOncePerAddress) {
  const std::vector<PlannedProbe> plan = plan_of("/lib/x86_64-linux-gnu/libc.so.6");
  for (std::string_view name : {"malloc", "calloc", "realloc", "reallocarray", "free", "posix_memalign",
                                "aligned_alloc", "memalign", "valloc", "pvalloc"})
    EXPECT_NE(find(plan, name), nullptr) << name;
  std::set<std::uint64_t> addresses;
  for (const PlannedProbe& probe : plan) EXPECT_TRUE(addresses.insert(probe.file_offset).second) << probe.names.front();
  EXPECT_EQ(find(plan, "memalign"), find(plan, "aligned_alloc"));
}

TEST_F(PlanTest, FindsTheAnnouncementFunctionOfTheDynamicLinker) {
  EXPECT_NE(find(plan_of("/lib64/ld-linux-x86-64.so.2"), "_dl_debug_state"), nullptr);
}

TEST_F(PlanTest, AProgramThatOnlyCallsMallocGetsNoProbe) { EXPECT_TRUE(plan_of("/bin/true").empty()); }

}  // namespace
}  // namespace tracer::tracing
