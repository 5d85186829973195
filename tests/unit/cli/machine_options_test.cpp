// SPDX-License-Identifier: Apache-2.0
#include "cli/machine_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cli/options.h"

namespace tracer::cli {
namespace {

using heap::GroupBy;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Words = std::vector<std::string>;

Result<Options> parse(const Words& words) {
  std::vector<const char*> argv{"tracer"};
  for (const std::string& word : words) argv.push_back(word.c_str());
  argv.push_back(nullptr);
  return parse_options(static_cast<int>(argv.size()) - 1, argv.data());
}

/// The configuration of a run of the whole machine with these words, which must be right.
session::Config config(Words words) {
  words.insert(words.begin(), "-a");
  Result<Options> options = parse(words);
  if (options) return options->config;
  ADD_FAILURE() << testing::PrintToString(words) << ": " << options.error().message();
  return {};
}

/// The error of a run of the whole machine with these words, which must be wrong.
Error refused(Words words) {
  words.insert(words.begin(), "--all");
  Result<Options> options = parse(words);
  if (!options) {
    EXPECT_EQ(options.error().kind(), ErrorKind::kUsage);
    EXPECT_FALSE(options.error().hint().empty()) << options.error().message();
    return std::move(options).error();
  }
  ADD_FAILURE() << testing::PrintToString(words) << " was taken";
  return Error(ErrorKind::kUsage, "");
}

TEST(MachineOptionsTest, MeansEveryProcessWithoutAFilter) {
  const session::Config made = config({});
  EXPECT_TRUE(made.all);
  EXPECT_TRUE(made.filter.empty());
  EXPECT_THAT(made.pids, IsEmpty());
  EXPECT_EQ(made.by, GroupBy::kProcess);
  EXPECT_FALSE(made.max_overhead_percent.has_value());
  EXPECT_FALSE(parse({"-p", "1"})->config.all);
}

TEST(MachineOptionsTest, ReadsFiltersAsOftenAsTheyAreGiven) {
  const session::Config made =
      config({"--comm", "nginx", "--comm=py*", "-G", "/a b", "--cgroup", "c,d", "--container", "3f2a9c", "--container",
              "web", "--exclude-pid", "3,1", "--exclude-pid=3,007", "-u", "root,0", "--user", "65534"});
  EXPECT_THAT(made.filter.comms, ElementsAre("nginx", "py*"));
  EXPECT_THAT(made.filter.cgroups, ElementsAre("/a b", "c,d"));
  EXPECT_THAT(made.filter.containers, ElementsAre("3f2a9c", "web"));
  EXPECT_THAT(made.filter.excluded_pids, ElementsAre(3, 1, 7));
  EXPECT_THAT(made.filter.users, ElementsAre(0U, 65534U));
  EXPECT_FALSE(made.filter.empty());
}

TEST(MachineOptionsTest, CutsANameToWhatTheKernelKeepsOfIt) {
  EXPECT_THAT(config({"--comm", "systemd-networkd"}).filter.comms, ElementsAre("systemd-network"));
}

TEST(MachineOptionsTest, TellsAProcessFromANamespaceByItsNumber) {
  EXPECT_EQ(config({"--pidns", "4194304"}).filter.pidns->pid, 4194304);
  EXPECT_EQ(config({"--pidns", "4194304"}).filter.pidns->inode, 0U);
  EXPECT_EQ(config({"--pidns", "4026531836"}).filter.pidns->inode, 4026531836U);
  EXPECT_EQ(config({"--pidns", "4026531836"}).filter.pidns->pid, 0);
  for (const char* text : {"0", "4194305", "4026531823", "4294967296", "-1", "pid:[4026531836]", "x"})
    EXPECT_THAT(refused({"--pidns", text}).message(), HasSubstr("--pidns")) << text;
}

TEST(MachineOptionsTest, ReadsWhatIsAddedUp) {
  EXPECT_EQ(config({"--by", "process"}).by, GroupBy::kProcess);
  EXPECT_EQ(config({"--by", "exe"}).by, GroupBy::kExe);
  EXPECT_EQ(config({"--by=container"}).by, GroupBy::kContainer);
  EXPECT_EQ(config({"--by", "user"}).by, GroupBy::kUser);
  EXPECT_THAT(refused({"--by", "Exe"}).message(), HasSubstr("process, exe, container or user"));
}

TEST(MachineOptionsTest, ReadsHowMuchOverheadIsBearable) {
  EXPECT_EQ(config({"--max-overhead", "5"}).max_overhead_percent, 5.0);
  EXPECT_EQ(config({"--max-overhead=2.5%"}).max_overhead_percent, 2.5);
  EXPECT_EQ(config({"--max-overhead", "off"}).max_overhead_percent, 0.0);
  for (const char* text : {"0", "-1", "100.1", "5%%", "%", "nan", "inf", "1e1", "on", "0%"})
    EXPECT_THAT(refused({"--max-overhead", text}).message(), HasSubstr("--max-overhead")) << text;
}

TEST(MachineOptionsTest, RefusesValuesThatMeanNothing) {
  for (const char* text : {"no-such-user-here", ",", "root,", "-1", "4294967295", "99999999999"})
    EXPECT_THAT(refused({"-u", text}).message(), HasSubstr("--user")) << text;
  for (const char* text : {"a/b", "/"})
    EXPECT_THAT(refused({"--container", text}).message(), HasSubstr("--container")) << text;
  EXPECT_THAT(refused({"--container", std::string(5000, 'a')}).message(), HasSubstr("--container"));
  for (const char* text : {"0", "1,", "x", "4194305"})
    EXPECT_THAT(refused({"--exclude-pid", text}).message(), HasSubstr("--exclude-pid")) << text;
  for (const char* option :
       {"--comm", "-u", "-G", "--container", "--exclude-pid", "--pidns", "--by", "--max-overhead"}) {
    EXPECT_THAT(refused({option, ""}).message(), HasSubstr("an empty value")) << option;
    EXPECT_THAT(refused({option}).message(), HasSubstr("--")) << option;
  }
}

TEST(MachineOptionsTest, SaysThatFiltersAreForTheWholeMachine) {
  for (const auto& [option, value] : std::vector<std::pair<std::string, std::string>>{{"--comm", "a"},
                                                                                      {"--user", "root"},
                                                                                      {"--cgroup", "/"},
                                                                                      {"--container", "abcdef"},
                                                                                      {"--exclude-pid", "1"},
                                                                                      {"--pidns", "1"},
                                                                                      {"--by", "exe"},
                                                                                      {"--max-overhead", "5"}}) {
    for (const Words& target : {Words{}, Words{"-p", "1"}, Words{"--", "ls"}}) {
      Words words{option, value};
      words.insert(words.end(), target.begin(), target.end());
      const Result<Options> options = parse(words);
      ASSERT_FALSE(options.ok()) << option;
      EXPECT_EQ(options.error().message(), option + " needs --all");
      EXPECT_THAT(options.error().hint(), HasSubstr("tracer --all"));
    }
  }
}

TEST(MachineOptionsTest, SuggestsThemForWhatIsMistyped) {
  for (const auto& [word, meant] :
       std::vector<std::pair<std::string, std::string>>{{"--al", "--all"},
                                                        {"--contaner", "--container"},
                                                        {"--cgruop", "--cgroup"},
                                                        {"--max-overhed", "--max-overhead"}}) {
    const Result<Options> options = parse({word, "x"});
    ASSERT_FALSE(options.ok());
    EXPECT_EQ(options.error().hint(), "did you mean " + meant + "?");
  }
}

}  // namespace
}  // namespace tracer::cli
