// SPDX-License-Identifier: Apache-2.0
#include "cli/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <random>
#include <regex>
#include <set>
#include <sstream>

namespace tracer::cli {
namespace {

using report::Color;
using session::Config;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Words = std::vector<std::string>;

/// The argument vector of main(): the words behind "tracer", with the null pointer at its end.
class Argv {
 public:
  explicit Argv(const Words& words) {
    pointers_.push_back("tracer");
    for (const std::string& word : words) pointers_.push_back(word.c_str());
    pointers_.push_back(nullptr);
  }
  int count() const { return static_cast<int>(pointers_.size()) - 1; }
  const char* const* data() const { return pointers_.data(); }

 private:
  std::vector<const char*> pointers_;
};

std::string name_of(const report::Format* format) { return format == nullptr ? "" : format->name; }

Result<Options> parse(const Words& words) {
  const Argv argv(words);
  return parse_options(argv.count(), argv.data());
}

ExitCode exit_code(const Words& words) {
  const Argv argv(words);
  return usage_exit_code(argv.count(), argv.data());
}

/// The configuration of a command line that must be right.
Config config(const Words& words) {
  Result<Options> options = parse(words);
  if (options) return options->config;
  ADD_FAILURE() << testing::PrintToString(words) << ": " << options.error().message();
  return {};
}

/// The message of a command line that must be wrong. What every refusal has in common is checked here.
std::string refusal(const Words& words) {
  const Result<Options> options = parse(words);
  if (options) {
    ADD_FAILURE() << testing::PrintToString(words) << " was taken";
    return {};
  }
  EXPECT_EQ(options.error().kind(), ErrorKind::kUsage);
  EXPECT_FALSE(options.error().hint().empty()) << options.error().message();
  return options.error().message();
}

std::string hint(const Words& words) {
  const Result<Options> options = parse(words);
  return options ? "" : options.error().hint();
}

Words with_pid(Words words) {
  words.insert(words.begin(), {"-p", "1"});
  return words;
}

std::string nested(const std::string& open, const std::string& close, std::size_t times) {
  std::string text;
  for (std::size_t i = 0; i < times; ++i) text += open;
  for (std::size_t i = 0; i < times; ++i) text += close;
  return text;
}

/// Every option that --help lists at the start of a line: "-p, --pid" gives both names.
std::set<std::string> names_in_help() {
  const std::string help = help_text();
  const std::regex line("\n  (?:(-[A-Za-z]), )?(--[a-z-]+)");
  std::set<std::string> names;
  for (std::sregex_iterator at(help.begin(), help.end(), line), end; at != end; ++at) {
    if ((*at)[1].matched) names.insert((*at)[1]);
    names.insert((*at)[2]);
  }
  return names;
}

/// Every option that the parser declares, from its source: the parser itself does not list them.
std::set<std::string> names_in_parser() {
  std::string source;
  for (const char* name : {"options", "output_options", "leak_options"}) {
    std::ifstream file(std::string(TRACER_SOURCE_DIR "/user/cli/") + name + ".cpp");
    source.append(std::istreambuf_iterator<char>(file), {});
  }
  const std::regex declaration("add_(?:option|flag)\\(\"([^\"]+)\"");
  std::set<std::string> names;
  for (std::sregex_iterator at(source.begin(), source.end(), declaration), end; at != end; ++at) {
    std::istringstream list((*at)[1]);
    for (std::string name; std::getline(list, name, ',');) names.insert(name.substr(0, name.find('{')));
  }
  return names;
}

TEST(OptionsTest, HasTheDocumentedDefaults) {
  const Result<Options> options = parse({"-p", "4242"});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->mode, Options::Mode::kTrace);
  EXPECT_EQ(options->verbosity, 1);
  const Config& config = options->config;
  EXPECT_THAT(config.argv, ElementsAre("tracer", "-p", "4242"));
  EXPECT_THAT(config.pids, ElementsAre(4242));
  EXPECT_THAT(config.command, IsEmpty());
  EXPECT_EQ(config.interval_ns, 5'000'000'000U);
  EXPECT_FALSE(config.interval_given);
  EXPECT_FALSE(config.duration_ns.has_value());
  EXPECT_FALSE(config.count.has_value());
  EXPECT_EQ(config.top, 10U);
  EXPECT_EQ(config.older_ns, 500'000'000U);
  EXPECT_EQ(config.min_size_bytes, 0U);
  EXPECT_EQ(config.max_size_bytes, 0U);
  EXPECT_EQ(config.include + config.exclude, "");
  EXPECT_EQ(config.max_stack, 256U);
  EXPECT_EQ(config.max_memory_bytes, 256ULL << 20);
  EXPECT_FALSE(config.backend.has_value());
  EXPECT_EQ(config.output.color, Color::kAuto);
  EXPECT_TRUE(config.inlines);
  EXPECT_TRUE(config.demangle);
  ASSERT_EQ(config.output.specs.size(), 1U);
  EXPECT_EQ(config.output.specs[0].path, "-");
  EXPECT_EQ(config.output.specs[0].format, nullptr);
}

TEST(OptionsTest, ReadsProcessIdsInOrderAndOnlyOnce) {
  const std::vector<std::pair<Words, std::vector<pid_t>>> cases{
      {{"-p", "3,1,2"}, {3, 1, 2}},
      {{"-p", "3", "--pid", "1", "--pid=2"}, {3, 1, 2}},
      {{"-p5,5", "-p", "6,5"}, {5, 6}},
      {{"-p", "4194304"}, {4194304}},
      {{"-p", "007"}, {7}},
  };
  for (const auto& [words, pids] : cases) EXPECT_EQ(config(words).pids, pids) << testing::PrintToString(words);
}

TEST(OptionsTest, RefusesWhatIsNoProcessId) {
  for (const char* text : {"0",   "-1", "+1",   "1x",      "x",  "1.5", " 1", "1 ", "",     ",",
                           "1,",  ",1", "1,,2", "4194305", "{}", "[1]", "-i", "--", "0x10", "18446744073709551617",
                           "\xff"}) {
    EXPECT_THAT(refusal({"-p", text}), HasSubstr("--pid")) << text;
  }
}

TEST(OptionsTest, ReadsAListAsLongAsTheKernelPasses) {
  // execve(2) takes some 2 MiB: too many numbers to compare each with all before it.
  Words words;
  constexpr pid_t kLists = 18, kEach = 15'000;
  for (pid_t list = 0; list < kLists; ++list) {
    std::string text;
    for (pid_t i = 1; i <= kEach; ++i) text += std::to_string(list * kEach + i) + (i < kEach ? "," : "");
    words.insert(words.end(), {"-p", text});
  }
  EXPECT_EQ(config(words).pids.size(), static_cast<std::size_t>(kLists * kEach));
}

TEST(OptionsTest, LeavesEverythingFromTheFirstWordOnToTheCommand) {
  const std::vector<std::pair<Words, Words>> cases{
      {{"ls", "-a", "-p", "3"}, {"ls", "-a", "-p", "3"}},
      {{"--", "ls", "-a"}, {"ls", "-a"}},
      {{"-i", "2s", "--", "ls", "-i", "0"}, {"ls", "-i", "0"}},
      {{"-q", "env", "--", "x"}, {"env", "--", "x"}},
      {{"--", "env", "--", "x", "--"}, {"env", "--", "x", "--"}},
      {{"--", "--", "x"}, {"--", "x"}},
      {{"--", "--help"}, {"--help"}},
      {{"ls", "--help", "-V", "--check"}, {"ls", "--help", "-V", "--check"}},
      {{"ls", "--bogus", "--follow"}, {"ls", "--bogus", "--follow"}},
      {{"-"}, {"-"}},
  };
  for (const auto& [words, command] : cases) {
    EXPECT_EQ(config(words).command, command) << testing::PrintToString(words);
    EXPECT_EQ(parse(words)->mode, Options::Mode::kTrace);
  }
}

TEST(OptionsTest, PassesTheWordsOfTheCommandOnUnchanged) {
  const Words odd{"[.a,.b]", "[]",   "[",       "[a b]", "{}",   "%%",   "",      "'quoted'", "\"double\"",
                  "a=b",     "-x=1", "--y=[z]", "%p",    "a\nb", "\xff", "--pid", "-",        "---"};
  Words command{"jq"};
  command.insert(command.end(), odd.begin(), odd.end());
  EXPECT_EQ(config(command).command, command);
  for (const std::string& first : odd) EXPECT_THAT(config({"--", first, "x"}).command, ElementsAre(first, "x"));
}

TEST(OptionsTest, FollowsTheChildrenOfACommandAndOfTheWholeMachineOnly) {
  EXPECT_TRUE(config({"-a"}).follow);
  EXPECT_TRUE(config({"-a", "--follow"}).follow);
  EXPECT_THAT(refusal({"-a", "--no-follow"}), HasSubstr("--no-follow"));
  EXPECT_TRUE(config({"ls"}).follow);
  EXPECT_TRUE(config({"--follow", "ls"}).follow);
  EXPECT_FALSE(config({"--no-follow", "ls"}).follow);
  EXPECT_FALSE(config({"-p", "1"}).follow);
  EXPECT_TRUE(config({"-p", "1", "--follow"}).follow);
  EXPECT_FALSE(config({"-p", "1", "--no-follow"}).follow);
  EXPECT_THAT(refusal({"-p", "1", "--follow", "--no-follow"}), HasSubstr("--no-follow"));
}

TEST(OptionsTest, WantsExactlyOneKindOfTarget) {
  EXPECT_THAT(refusal({"-p", "1", "ls"}), HasSubstr("--pid"));
  for (const Words& words : {Words{}, Words{"--"}, Words{"-q"}, Words{"-i", "1"}}) {
    EXPECT_EQ(refusal(words), "nothing to trace");
    EXPECT_THAT(hint(words), HasSubstr("tracer --pid PID"));
    EXPECT_THAT(hint(words), HasSubstr("tracer -- COMMAND"));
    EXPECT_THAT(hint(words), HasSubstr("tracer --all"));
  }
  EXPECT_EQ(refusal({"-a", "-p", "1"}), "--all and --pid exclude each other");
  EXPECT_EQ(refusal({"--all", "ls"}), "--all and a command exclude each other");
  EXPECT_EQ(refusal({"-a", "--check"}), "--check takes no --all");
}

TEST(OptionsTest, ReadsTimesAndSizesWithUnits) {
  EXPECT_EQ(config(with_pid({"-i", "250ms"})).interval_ns, 250'000'000U);
  EXPECT_EQ(config(with_pid({"--interval=2"})).interval_ns, 2'000'000'000U);
  EXPECT_TRUE(config(with_pid({"-i5"})).interval_given);
  EXPECT_EQ(config(with_pid({"-d", "2m"})).duration_ns, 120'000'000'000U);
  EXPECT_EQ(config(with_pid({"--older", "1h"})).older_ns, 3'600'000'000'000U);
  EXPECT_EQ(config(with_pid({"--older", "0"})).older_ns, 0U);
  const Config sizes = config(with_pid({"-z", "1k", "-Z", "2MiB", "--max-memory", "16m"}));
  EXPECT_EQ(sizes.min_size_bytes, 1024U);
  EXPECT_EQ(sizes.max_size_bytes, 2U << 20);
  EXPECT_EQ(sizes.max_memory_bytes, 16U << 20);
  EXPECT_EQ(config(with_pid({"-z", "64", "-Z", "64"})).max_size_bytes, 64U);
}

TEST(OptionsTest, SamplesWhenAskedTo) {
  EXPECT_EQ(config(with_pid({})).sample_bytes, 0U);
  EXPECT_EQ(config(with_pid({"-s", "512k"})).sample_bytes, 512U << 10);
  EXPECT_EQ(config(with_pid({"--sample=1g"})).sample_bytes, 1U << 30);
  EXPECT_EQ(config(with_pid({"-s", "1k"})).sample_bytes, 1024U);
  EXPECT_EQ(config(with_pid({"-s", "100000"})).sample_bytes, 100'000U);
  EXPECT_EQ(config(with_pid({"-s0"})).sample_bytes, 0U);
}

TEST(OptionsTest, ReadsNumbersAndSwitches) {
  EXPECT_EQ(config(with_pid({"-n", "3"})).count, 3U);
  EXPECT_EQ(config(with_pid({"-T", "0"})).top, 0U);
  EXPECT_EQ(config(with_pid({"--top=25"})).top, 25U);
  EXPECT_EQ(config(with_pid({"--max-stack", "2"})).max_stack, 2U);
  EXPECT_EQ(config(with_pid({"--max-stack", "512"})).max_stack, 512U);
  EXPECT_FALSE(config(with_pid({"--no-inline"})).inlines);
  EXPECT_FALSE(config(with_pid({"--no-demangle"})).demangle);
  EXPECT_EQ(config(with_pid({"-I", "^std::(map|set)"})).include, "^std::(map|set)");
  EXPECT_EQ(config(with_pid({"-X", "libssl"})).exclude, "libssl");
}

TEST(OptionsTest, ReadsTheNamedChoices) {
  EXPECT_EQ(config(with_pid({"--probe-backend", "multi"})).backend, kernel::Backend::kMulti);
  EXPECT_EQ(config(with_pid({"--probe-backend", "perf"})).backend, kernel::Backend::kPerf);
  EXPECT_FALSE(config(with_pid({"--probe-backend", "auto"})).backend.has_value());
  EXPECT_EQ(config(with_pid({"--color", "always"})).output.color, Color::kAlways);
  EXPECT_EQ(config(with_pid({"--color=never"})).output.color, Color::kNever);
  EXPECT_EQ(config(with_pid({"--color", "auto"})).output.color, Color::kAuto);
}

TEST(OptionsTest, ReadsHowMuchToSay) {
  const std::vector<std::pair<Words, int>> cases{{{"-q"}, 0},        {{"-v"}, 2},           {{"-vv"}, 3},
                                                 {{"-v", "-v"}, 3},  {{"-vvvvv"}, 3},       {{"--verbose"}, 2},
                                                 {{"-q", "-vv"}, 0}, {{"--quiet", "-q"}, 0}};
  for (const auto& [words, verbosity] : cases) {
    const Result<Options> options = parse(with_pid(words));
    ASSERT_TRUE(options) << testing::PrintToString(words);
    EXPECT_EQ(options->verbosity, verbosity) << testing::PrintToString(words);
  }
}

TEST(OptionsTest, NamesTheOptionWhoseValueMakesNoSense) {
  const std::vector<std::pair<std::string, Words>> cases{
      {"--interval", {"0", "0s", "9ms", "-5s", "x", "5x", "inf", "nan", "1e3", "=5", "99999999999999999999d"}},
      {"--duration", {"0", "-1", "soon", "1 week"}},
      {"--older", {"-1", "old", "nan"}},
      {"--min-size", {"-1", "big", "1q", "9999999t"}},
      {"--max-size", {"-1k", "k", "1kk"}},
      {"--sample", {"1", "1023", "1073741825", "2g", "-1", "often"}},
      {"--max-memory", {"0", "16777215", "15m", "lots"}},
      {"--count", {"0", "-1", "1.5", "many", "18446744073709551616"}},
      {"--top", {"-1", "ten", "0x10", "1000001"}},
      {"--max-stack", {"0", "1", "513", "-3", "4294967298"}},
      {"--include", {"(", "[z-a]", "*", "a{2,1}", "\\", "[[:nope:]]", "a{99999999999}", "((a{999}){999}){999}"}},
      {"--exclude", {")", "[", "(?<name>a)", "\\9"}},
      {"--format", {"pdf", "TABLE", "auto"}},
      {"--metric", {"bytes", "INUSE_SPACE"}},
      {"--color", {"yes", "Always"}},
      {"--probe-backend", {"fast", "MULTI"}},
  };
  for (const auto& [option, values] : cases) {
    for (const std::string& value : values) EXPECT_THAT(refusal(with_pid({option, value})), HasSubstr(option)) << value;
    EXPECT_THAT(refusal(with_pid({option, ""})), HasSubstr(option)) << "empty";
    EXPECT_THAT(refusal(with_pid({option})), HasSubstr(option)) << "missing";
  }
}

TEST(OptionsTest, RefusesASmallestSizeAboveTheLargest) {
  EXPECT_THAT(refusal(with_pid({"-z", "2k", "-Z", "2047"})), HasSubstr("--min-size"));
  EXPECT_EQ(config(with_pid({"-z", "2k", "-Z", "0"})).max_size_bytes, 0U);  // 0: no limit
}

TEST(OptionsTest, RefusesAnOptionGivenTwiceAndASwitchWithAValue) {
  for (const char* option : {"-i", "-T", "-I", "-f", "--max-memory"}) {
    EXPECT_THAT(refusal(with_pid({option, "16m", option, "16m"})), HasSubstr("--")) << option;
  }
  for (const char* word : {"--verbose=-5", "--verbose=99999999999", "--check=false", "--quiet=x", "--no-inline=0"}) {
    const std::string text = word;
    EXPECT_THAT(refusal(with_pid({text})), HasSubstr(text.substr(0, text.find('='))));
  }
}

TEST(OptionsTest, TakesTheFormatFromTheNameOfTheFile) {
  const std::vector<std::pair<std::string, std::string>> cases{{"a.ndjson", "ndjson"},
                                                               {"a.jsonl", "ndjson"},
                                                               {"dir.txt/a.json", "ndjson"},
                                                               {"a.pb.gz", "pprof"},
                                                               {"a.pprof", "pprof"},
                                                               {"a.folded", "folded"},
                                                               {"a.zst", "heaptrack"},
                                                               {"a.heaptrack.zst", "heaptrack"},
                                                               {"a.collapsed", "folded"},
                                                               {"a.speedscope.json", "speedscope"},
                                                               {"a.dhat.json", "dhat"},
                                                               {"%p-%h-%t-%n-%%.pb.gz", "pprof"},
                                                               {"a.txt", "table"},
                                                               {"a.json.txt", "table"},
                                                               {"-", ""}};
  for (const auto& [path, format] : cases) {
    const Config made = config(with_pid({"-o", path}));
    ASSERT_EQ(made.output.specs.size(), 1U) << path;
    EXPECT_EQ(made.output.specs[0].path, path);
    EXPECT_EQ(name_of(made.output.specs[0].format), format) << path;
  }
  for (const char* path : {"a", "a.gz", "a.TXT", "txt", "dir/", "a.txt/b", "{}", "a.txt "}) {
    EXPECT_THAT(refusal(with_pid({"-o", path})), HasSubstr("--output")) << path;
    EXPECT_THAT(hint(with_pid({"-o", path})), HasSubstr("--format")) << path;
  }
}

TEST(OptionsTest, CombinesNamedFormatAndFiles) {
  using Outputs = std::vector<std::pair<std::string, std::string>>;
  const std::vector<std::pair<Words, Outputs>> cases{
      {{"-f", "ndjson"}, {{"-", "ndjson"}}},
      {{"-f", "table", "-o", "-"}, {{"-", "table"}}},
      {{"-f", "table", "-o", "report"}, {{"report", "table"}}},
      {{"-f", "table", "-o", "a.json"}, {{"a.json", "table"}}},
      {{"-f", "table", "-o", "{}"}, {{"{}", "table"}}},
      {{"-o", "a.txt", "-o", "b.jsonl"}, {{"a.txt", "table"}, {"b.jsonl", "ndjson"}}},
      {{"-o", "a.txt", "-o", "b", "-f", "ndjson"}, {{"a.txt", "table"}, {"b", "ndjson"}}},
      {{"-o", "-", "-o", "[a,b].txt"}, {{"-", ""}, {"[a,b].txt", "table"}}},
  };
  for (const auto& [words, outputs] : cases) {
    Outputs made;
    for (const report::OutputSpec& output : config(with_pid(words)).output.specs)
      made.emplace_back(output.path, name_of(output.format));
    EXPECT_EQ(made, outputs) << testing::PrintToString(words);
  }
}

TEST(OptionsTest, SaysWhichOptionIsUnknownAndWhichOneIsLikeIt) {
  const std::vector<std::tuple<Words, std::string, std::string>> cases{
      {{"--intreval", "5", "-p", "1"}, "unknown option --intreval", "did you mean --interval?"},
      {{"--pidd=5"}, "unknown option --pidd=5", "did you mean --pid?"},
      {{"---pid", "5"}, "unknown option ---pid", "did you mean --pid?"},
      {{"--no-folow", "ls"}, "unknown option --no-folow", "did you mean --no-follow?"},
      {{"--something-else"}, "unknown option --something-else", "see 'tracer --help'"},
      {{"--first", "--second", "--", "ls"}, "unknown option --first", "see 'tracer --help'"},
      {{"-qk", "-p", "1"}, "unknown option -k", "see 'tracer --help'"},
      {{"-5"}, "unknown option -5", "see 'tracer --help'"},
      {{"-!x"}, "unknown option -!x", "see 'tracer --help'"},
      {{"-p", "1", "--=x"}, "unknown option --=x", "see 'tracer --help'"},
  };
  for (const auto& [words, message, advice] : cases) {
    EXPECT_EQ(refusal(words), message);
    EXPECT_EQ(hint(words), advice) << message;
  }
}

TEST(OptionsTest, ChoosesTheMode) {
  const std::vector<std::pair<Words, Options::Mode>> cases{
      {{"-h"}, Options::Mode::kHelp},           {{"--help", "-p", "0"}, Options::Mode::kHelp},
      {{"-V"}, Options::Mode::kVersion},        {{"--version", "ls"}, Options::Mode::kVersion},
      {{"-V", "--help"}, Options::Mode::kHelp}, {{"--check"}, Options::Mode::kCheck},
      {{"ls"}, Options::Mode::kTrace},          {{"-p", "1", "--check"}, Options::Mode::kCheck}};
  for (const auto& [words, mode] : cases) {
    const Result<Options> options = parse(words);
    ASSERT_TRUE(options) << testing::PrintToString(words);
    EXPECT_EQ(options->mode, mode) << testing::PrintToString(words);
  }
  EXPECT_THAT(config({"--check", "-p", "7,8"}).pids, ElementsAre(7, 8));
  EXPECT_THAT(refusal({"--check", "ls"}), HasSubstr("--check"));
}

TEST(OptionsTest, EndsWith125WhenACommandWasGiven) {
  const std::vector<std::pair<Words, ExitCode>> cases{
      {{}, ExitCode::kUsage},
      {{"-p", "0"}, ExitCode::kUsage},
      {{"-i", "0", "-p", "1", "--"}, ExitCode::kUsage},
      {{"--bogus"}, ExitCode::kUsage},
      {{"--bogus", "ls"}, ExitCode::kUsage},  // "ls" may be the value of --bogus
      {{"-p", "1", "-i"}, ExitCode::kUsage},
      {{"-o", "--", "-p", "0"}, ExitCode::kUsage},
      {{"-i", "0", "ls"}, ExitCode::kTracerFailed},
      {{"-i", "0", "--", "ls"}, ExitCode::kTracerFailed},
      {{"-i", "1", "-i", "2", "ls"}, ExitCode::kTracerFailed},
      {{"-p", "1", "ls"}, ExitCode::kTracerFailed},
      {{"--bogus", "--", "ls"}, ExitCode::kTracerFailed},
      {{"-I", "", "ls"}, ExitCode::kTracerFailed},
  };
  for (const auto& [words, code] : cases) {
    EXPECT_FALSE(parse(words).ok()) << testing::PrintToString(words);
    EXPECT_EQ(exit_code(words), code) << testing::PrintToString(words);
  }
}

TEST(OptionsTest, NumbersItsExitCodesAsEnvDoes) {
  const std::vector<std::pair<ExitCode, int>> cases{
      {ExitCode::kOk, 0},         {ExitCode::kFailure, 1},         {ExitCode::kUsage, 2},
      {ExitCode::kNotFound, 127}, {ExitCode::kNotExecutable, 126}, {ExitCode::kTracerFailed, 125},
      {ExitCode::kAborted, 130},  {ExitCode::kBrokenPipe, 141}};
  for (const auto& [code, number] : cases) EXPECT_EQ(static_cast<int>(code), number);
}

TEST(OptionsTest, SurvivesAnEmptyArgumentVector) {
  const char* const none[] = {nullptr};
  const Result<Options> options = parse_options(0, none);
  ASSERT_FALSE(options.ok());
  EXPECT_EQ(options.error().kind(), ErrorKind::kUsage);
  EXPECT_EQ(usage_exit_code(0, none), ExitCode::kUsage);
  const char* const nameless[] = {"", nullptr};
  EXPECT_FALSE(parse_options(1, nameless).ok());
}

TEST(OptionsTest, SurvivesPatternsThatWouldOverflowTheStack) {
  constexpr std::size_t kLongWord = 100'000;  // execve(2) takes words of 128 KiB
  for (const std::string& pattern : {std::string(kLongWord, '('), std::string(kLongWord, 'a'),
                                     nested("(?:", ")", kLongWord / 4), nested("[", "]", kLongWord / 2)}) {
    EXPECT_THAT(refusal(with_pid({"-I", pattern})), HasSubstr("--include: longer than 1000"));
  }
  EXPECT_EQ(config(with_pid({"-I", nested("(", ")", 500)})).include.size(), 1000U);
  EXPECT_THAT(refusal(with_pid({"-I", std::string(1000, '(')})), HasSubstr("--include"));
}

TEST(OptionsTest, SurvivesGarbage) {
  const Words pieces{"-p",
                     "--pid",
                     "1,2",
                     "-a",
                     "--comm",
                     "-u",
                     "-",
                     "--",
                     "---",
                     "-=",
                     "--=",
                     "=",
                     "[",
                     "]",
                     "[,]",
                     "{}",
                     "%%",
                     "",
                     "\n",
                     "\t",
                     " ",
                     "\xff\xfe",
                     "-\x01",
                     "--\xc3\xa9",
                     "-o",
                     "-f",
                     "ndjson",
                     "-vq",
                     "-vvp",
                     "-i",
                     "1e9",
                     "++",
                     "/h",
                     "--check",
                     "-n",
                     "--top=",
                     "--i=9",
                     "-p=",
                     "a.txt",
                     std::string(300, '-'),
                     std::string(300, 'x'),
                     "--" + std::string(300, 'y')};
  std::mt19937 random(20240229);  // NOLINT: the same sequence each time
  std::size_t refused = 0;
  constexpr std::size_t kRounds = 1000;
  for (std::size_t round = 0; round < kRounds; ++round) {
    Words words(random() % 7);
    for (std::string& word : words) word = pieces[random() % pieces.size()];
    const Result<Options> options = parse(words);
    if (!options) {
      ++refused;
      EXPECT_FALSE(options.error().message().empty());
      EXPECT_FALSE(options.error().hint().empty());
      EXPECT_NE(exit_code(words), ExitCode::kOk);
    } else if (options->mode == Options::Mode::kTrace) {
      const Config& made = options->config;
      EXPECT_EQ(made.all + !made.pids.empty() + !made.command.empty(), 1) << testing::PrintToString(words);
    }
  }
  EXPECT_GT(refused, kRounds / 10);
  EXPECT_LT(refused, kRounds);
}

TEST(RecordingOptionsTest, ReadsAReport) {
  const Result<Options> options =
      parse({"report", "run.ndjson", "-o", "a.pb.gz", "-o", "b.zst", "-T", "3", "-I", "x", "--leak-exitcode", "9"});
  ASSERT_TRUE(options.ok()) << options.error().message();
  EXPECT_EQ(options->mode, Options::Mode::kReport);
  EXPECT_EQ(options->report.path, "run.ndjson");
  ASSERT_EQ(options->report.output.specs.size(), 2U);
  EXPECT_EQ(name_of(options->report.output.specs[1].format), "heaptrack");
  EXPECT_EQ(options->report.top, 3U);
  EXPECT_EQ(options->report.include, "x");
  EXPECT_EQ(options->leak_exitcode, 9);
  const Result<Options> plain = parse({"report", "run.ndjson"});
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(name_of(plain->report.output.specs[0].format), "table");
  EXPECT_FALSE(plain->report.top);
}

TEST(RecordingOptionsTest, ReadsADiff) {
  const Result<Options> options = parse({"diff", "a", "b", "-f", "ndjson"});
  ASSERT_TRUE(options.ok()) << options.error().message();
  EXPECT_EQ(options->mode, Options::Mode::kDiff);
  EXPECT_EQ(options->diff.before, "a");
  EXPECT_EQ(options->diff.after, "b");
  EXPECT_EQ(options->diff.top, 0U);
}

TEST(RecordingOptionsTest, RefusesWhatMakesNoSense) {
  for (const Words& words : std::vector<Words>{{"report"},
                                               {"report", "a", "b"},
                                               {"report", "a", "-f", "ndjson"},
                                               {"report", "a", "-I", "("},
                                               {"report", "a", "--pid", "1"},
                                               {"report", "a", "--leak-exitcode", "256"},
                                               {"report", "a", "-o", "%x.txt"},
                                               {"diff", "a"},
                                               {"diff", "a", "b", "c"},
                                               {"diff", "a", "b", "-f", "pprof"},
                                               {"diff", "a", "b", "--top", "x"}}) {
    EXPECT_NE(refusal(words), "") << testing::PrintToString(words);
    EXPECT_NE(hint(words), "") << testing::PrintToString(words);
  }
}

TEST(RecordingOptionsTest, ACommandOfThatNameIsBehindTwoDashes) {
  const Result<Options> options = parse({"--", "report", "x"});
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->mode, Options::Mode::kTrace);
  EXPECT_THAT(options->config.command, ElementsAre("report", "x"));
}

TEST(OptionsTest, AsksServersForDebugFilesOnlyOnRequest) {
  EXPECT_FALSE(parse({"-p", "1"})->config.debuginfod);
  EXPECT_EQ(parse({"--debuginfod", "-p", "1"})->config.debuginfod, "");
  EXPECT_EQ(parse({"--debuginfod=http://a http://b", "-p", "1"})->config.debuginfod, "http://a http://b");
  // It takes no word that stands behind it.
  EXPECT_EQ(parse({"--debuginfod", "--", "ls"})->config.command, std::vector<std::string>{"ls"});
}

TEST(HelpTest, ListsTheOptionsThatTheParserKnowsAndNoOthers) {
  const std::set<std::string> names = names_in_help();
  EXPECT_EQ(names, names_in_parser());
  EXPECT_TRUE(names.contains("--probe-backend"));
  for (const std::string& name : names) {
    const Result<Options> options = parse({name});
    if (options) continue;
    EXPECT_THAT(options.error().message(), testing::Not(HasSubstr("unknown option"))) << name;
  }
}

TEST(HelpTest, KnowsNoShortOptionThatItDoesNotList) {
  const std::set<std::string> names = names_in_help();
  for (int letter = '!'; letter <= '~'; ++letter) {
    if (letter == '-') continue;
    const std::string name{'-', static_cast<char>(letter)};
    const Result<Options> options = parse({name, "1"});
    const bool known = options.ok() || options.error().message().find("unknown option") == std::string::npos;
    EXPECT_EQ(known, names.contains(name)) << name;
  }
}

TEST(HelpTest, FitsATerminalOfEightyColumns) {
  std::istringstream lines(help_text());
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    EXPECT_LE(line.size(), 78U) << line;
    EXPECT_TRUE(line.empty() || line.back() != ' ') << line;
  }
  EXPECT_GT(count, 40U);
  EXPECT_EQ(help_text().back(), '\n');
}

TEST(HelpTest, ShowsExamplesThatTheParserTakes) {
  std::istringstream lines(help_text());
  std::size_t examples = 0;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("  sudo tracer ")) continue;
    ++examples;
    std::istringstream text(line.substr(14, line.find("   ", 14) - 14));
    EXPECT_TRUE(parse(Words{std::istream_iterator<std::string>(text), {}})) << line;
  }
  EXPECT_EQ(examples, 5U);
}

TEST(HelpTest, EndsWithTheExitCodes) {
  const std::string help = help_text();
  const std::size_t at = help.find("Exit status:");
  ASSERT_NE(at, std::string::npos);
  for (const char* code : {"0 ", "1 failure", "2 ", "128+N", "125 ", "126 ", "127 "}) {
    EXPECT_NE(help.find(code, at), std::string::npos) << code;
  }
}

TEST(HelpTest, VersionIsOneLine) {
  EXPECT_THAT(version_text(), testing::MatchesRegex("tracer [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

}  // namespace
}  // namespace tracer::cli
