// SPDX-License-Identifier: Apache-2.0
// Where probes go in the libraries of this machine, against what somebody has looked at: tests/golden/sites, a file per
// build id. A library that is new fails with the text to be looked at and kept; with TRACER_UPDATE_GOLDEN in the
// environment it is written.
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "library/library_cache.h"
#include "tracing/probe_plan.h"

namespace tracer::tracing {
namespace {

constexpr const char* kLibraries[] = {
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
    "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
    "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4",
    "/usr/lib/x86_64-linux-gnu/libmimalloc.so.2",
    "/usr/lib/x86_64-linux-musl/libc.so",
};
constexpr const char* kConditions[] = {"o", "no", "b", "ae", "e", "ne", "be", "a",
                                       "s", "ns", "p", "np", "l", "ge", "le", "g"};
constexpr const char* kRegisters[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                      "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

struct Planned {
  std::string build_id;
  ProbePlan plan;
};

class SitesTest : public testing::TestWithParam<const char*> {
 protected:
  Planned plan_of(const std::string& path) {
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    Result<elf::ElfImage> image = elf::ElfImage::read(file.get(), catalogue_.wanted_names());
    EXPECT_TRUE(image.ok()) << path;
    if (!image) return {};
    return {image->build_id(), plan_probes(*image, file, path, catalogue_)};
  }

  const Catalogue catalogue_{~FamilySet()};
};

std::string describe(const elf::FunctionExit& exit) {
  if (!exit.emulated) return fmt::format("{:#x} ret", exit.address);
  const std::string jump = exit.condition ? fmt::format("if {}", kConditions[*exit.condition]) : "jmp";
  return fmt::format("{:#x} {} {} sp+{}", exit.address, jump, kRegisters[exit.result_register], exit.stack_bytes);
}

std::string describe(const ProbePlan& plan) {
  std::string text;
  for (const PlannedProbe& probe : plan.probes) {
    text += fmt::format("{:#x}+{} {} {}\n", probe.address, probe.site_offset,
                        probe.emulated ? "emulated" : "single-stepped", fmt::join(probe.names, " "));
    for (const PlannedProbe::Exit& exit : probe.exits) text += "    exit " + describe(exit.exit) + "\n";
  }
  for (const LeftOut& left : plan.left_out)
    text += fmt::format("{:#x} no probe: {}: {}\n", left.address, left.reason, left.name);
  return text;
}

std::string contents_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST_P(SitesTest, AreThoseThatWereLookedAt) {
  const Planned planned = plan_of(GetParam());
  // musl's has no build id.
  const std::string id = planned.build_id.empty() ? "none" : planned.build_id.substr(0, 12);
  const std::filesystem::path golden =
      std::filesystem::path(TRACER_SOURCE_DIR) / "tests/golden/sites" /
      fmt::format("{}-{}.txt", std::filesystem::path(GetParam()).filename().string(), id);
  const std::string text = describe(planned.plan);
  if (std::getenv("TRACER_UPDATE_GOLDEN") != nullptr) std::ofstream(golden) << text;
  EXPECT_EQ(contents_of(golden), text) << "look at the sites of " << GetParam() << " and keep them as " << golden;
}

TEST_P(SitesTest, NoPlaceGetsTwoProbesOfAKind) {
  const Planned planned = plan_of(GetParam());
  std::vector<std::uint64_t> entries;
  for (const PlannedProbe& probe : planned.plan.probes) {
    entries.push_back(probe.file_offset);
    EXPECT_EQ(probe.exits.empty(), !probe.function->ends_at_exits()) << probe.names.front();
    for (const PlannedProbe::Exit& exit : probe.exits) EXPECT_NE(exit.file_offset, probe.file_offset);
  }
  std::ranges::sort(entries);
  EXPECT_EQ(std::ranges::adjacent_find(entries), entries.end());
}

INSTANTIATE_TEST_SUITE_P(Debian, SitesTest, testing::ValuesIn(kLibraries));

class PlanTest : public SitesTest {
 protected:
  const PlannedProbe* find(std::string_view name) {
    const auto found = std::ranges::find_if(plan_.probes, [&](const PlannedProbe& probe) {
      return std::ranges::find(probe.names, name) != probe.names.end();
    });
    return found == plan_.probes.end() ? nullptr : &*found;
  }
  ProbePlan plan_;
};

TEST_F(PlanTest, ProbesEveryMallocFunctionOfThisMachinesLibc) {
  plan_ = plan_of(kLibraries[0]).plan;
  for (std::string_view name : {"malloc", "calloc", "realloc", "reallocarray", "free", "posix_memalign",
                                "aligned_alloc", "memalign", "valloc", "pvalloc"})
    EXPECT_NE(find(name), nullptr) << name;
  EXPECT_EQ(find("memalign"), find("aligned_alloc"));
}

TEST_F(PlanTest, FindsTheAnnouncementFunctionOfTheDynamicLinker) {
  plan_ = plan_of("/lib64/ld-linux-x86-64.so.2").plan;
  EXPECT_NE(find("_dl_debug_state"), nullptr);
  EXPECT_FALSE(plan_.has_allocator());
}

TEST_F(PlanTest, AProgramThatOnlyCallsMallocGetsNoProbe) { EXPECT_TRUE(plan_of("/bin/true").plan.empty()); }

TEST_F(PlanTest, TheOperatorsOfLibstdcxxAreCountedInMalloc) {
  plan_ = plan_of(kLibraries[1]).plan;
  EXPECT_FALSE(plan_.has_allocator());
  for (const LeftOut& left : plan_.left_out) EXPECT_TRUE(left.is_counted) << left.name << ": " << left.reason;
}

TEST_F(PlanTest, NothingOfTheThreeAllocatorsIsLeftUncounted) {
  for (const char* path : {kLibraries[2], kLibraries[3], kLibraries[4]}) {
    plan_ = plan_of(path).plan;
    // mi_new_reallocn is a cover that returns by itself when the product is too large.
    for (const LeftOut& left : plan_.left_out)
      EXPECT_TRUE(left.is_counted || left.name == "mi_new_reallocn") << left.name << ": " << left.reason;
    const PlannedProbe* operator_new = find("_Znwm");
    ASSERT_NE(operator_new, nullptr) << path;
    EXPECT_TRUE(operator_new->emulated) << path;
    EXPECT_FALSE(operator_new->function->needs_return());
  }
}

}  // namespace
}  // namespace tracer::tracing
