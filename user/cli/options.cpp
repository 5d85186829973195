// SPDX-License-Identifier: Apache-2.0
#include "cli/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string_view>

#include "base/units.h"
#include "cli/allocator_options.h"
#include "cli/leak_options.h"
#include "cli/machine_options.h"
#include "cli/output_options.h"
#include "cli/report_options.h"
#include "cli/values.h"
#include "kernel/bpf_object.h"

namespace tracer::cli {
namespace {

using session::CallGraph;
using session::Config;

constexpr std::uint64_t kLeastMemory = 16ULL << 20;
constexpr const char* kForms =
    "'tracer --pid PID' attaches to a process, 'tracer -- COMMAND' starts one, 'tracer --all' traces the machine; "
    "see 'tracer --help'";

/// The options as text, before their values are looked at.
struct Raw {
  std::vector<std::string> pids;
  std::vector<std::string> command;
  std::vector<std::string> events;
  RawOutput output;
  RawLeaks leaks;
  std::string interval, duration, delay, control, older, min_size, max_size, max_memory, sample;
  std::string count, top, max_stack;
  std::string include, exclude, backend = "auto", call_graph = "dwarf";
  RawMachine machine;
  RawAllocators allocators;
  bool all = false, follow = false, no_follow = false, check = false, help = false, version = false;
  std::string debuginfod;
  bool quiet = false, no_inline = false, no_demangle = false;
  int verbose = 0;
};

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

/// Every option of the tracer. `--help` is written by hand below; a test holds the two against each other.
void declare(CLI::App& app, Raw& raw) {
  app.set_help_flag();
  app.add_flag("-h,--help", raw.help);
  app.add_flag("-V,--version", raw.version);
  app.add_flag("--check", raw.check);
  app.add_option("-p,--pid", raw.pids)->allow_extra_args(false);
  app.add_flag("-a,--all", raw.all);
  app.add_option("--comm", raw.machine.comms)->allow_extra_args(false);
  app.add_option("-u,--user", raw.machine.users)->allow_extra_args(false);
  app.add_option("-G,--cgroup", raw.machine.cgroups)->allow_extra_args(false);
  app.add_option("--container", raw.machine.containers)->allow_extra_args(false);
  app.add_option("--exclude-pid", raw.machine.excluded_pids)->allow_extra_args(false);
  app.add_option("--pidns", raw.machine.pidns);
  app.add_option("--by", raw.machine.by);
  app.add_option("--max-overhead", raw.machine.max_overhead);
  app.add_flag("--follow", raw.follow);
  app.add_flag("--no-follow", raw.no_follow);
  app.add_option("-i,--interval", raw.interval);
  app.add_option("-d,--duration", raw.duration);
  app.add_option("-D,--delay", raw.delay);
  app.add_option("--control", raw.control);
  app.add_option("-n,--count", raw.count);
  app.add_option("-T,--top", raw.top);
  app.add_option("--older", raw.older);
  app.add_option("-z,--min-size", raw.min_size);
  app.add_option("-Z,--max-size", raw.max_size);
  app.add_option("-s,--sample", raw.sample);
  app.add_option("-I,--include", raw.include);
  app.add_option("-X,--exclude", raw.exclude);
  declare_outputs(app, raw.output);
  declare_leaks(app, raw.leaks);
  app.add_flag("--no-inline", raw.no_inline);
  app.add_flag("--no-demangle", raw.no_demangle);
  app.add_option("--family", raw.allocators.families)->allow_extra_args(false);
  app.add_option("--no-family", raw.allocators.no_families)->allow_extra_args(false);
  app.add_option("--allocator", raw.allocators.own)->allow_extra_args(false);
  // A flag, so that it takes no word behind it; {} names what it is without a value.
  app.add_flag("--debuginfod{environment}", raw.debuginfod);
  app.add_option("--call-graph", raw.call_graph);
  app.add_option("--max-stack", raw.max_stack);
  app.add_option("--events", raw.events)->allow_extra_args(false);
  app.add_option("--max-memory", raw.max_memory);
  app.add_option("--probe-backend", raw.backend);
  app.add_flag("-q,--quiet", raw.quiet);
  app.add_flag("-v,--verbose", raw.verbose);
  for (CLI::Option* option : app.get_options()) {
    if (takes_value(*option)) option->type_name("value");  // a word of CLI11's messages
  }
  // Everything from the first word on is the command, and stays as it was given: as a positional of CLI11 its
  // "[a,b]" would become two words and its "[]" none.
  app.prefix_command();
}

/// Reads values one after the other and remembers the first that makes no sense.
class Reader {
 public:
  std::optional<Error> error;

  void duration(const std::string& option, const std::string& text, std::uint64_t* out) {
    if (!text.empty()) take(option, parse_duration_ns(text), out);
  }
  void size(const std::string& option, const std::string& text, std::uint64_t* out) {
    if (!text.empty()) take(option, parse_size_bytes(text), out);
  }
  void number(const std::string& option, const std::string& text, std::uint64_t least, std::uint64_t most,
              std::uint64_t* out) {
    if (text.empty()) return;
    Result<std::uint64_t> value = parse_number(option, text, least, most);
    if (value)
      *out = *value;
    else
      fail(std::move(value).error());
  }
  void regex(const std::string& option, const std::string& text) {
    if (Result<void> good = check_regex(option, text); !good) fail(std::move(good).error());
  }
  void fail(Error failure) {
    if (!error) error = std::move(failure);
  }

 private:
  void take(const std::string& option, Result<std::uint64_t> value, std::uint64_t* out) {
    if (value)
      *out = *value;
    else
      fail(std::move(value).error().in_context(option));
  }
};

void read_choices(const Raw& raw, Reader& reader, Config& config) {
  if (raw.backend == "multi")
    config.backend = kernel::Backend::kMulti;
  else if (raw.backend == "perf")
    config.backend = kernel::Backend::kPerf;
  else if (raw.backend != "auto")
    reader.fail(usage(fmt::format("--probe-backend '{}': must be auto, multi or perf", raw.backend)));
  if (raw.call_graph == "fp")
    config.call_graph = CallGraph::kFp;
  else if (raw.call_graph != "dwarf")
    reader.fail(usage(fmt::format("--call-graph '{}': must be dwarf or fp", raw.call_graph)));
}

/// Of the rest nothing is known: neither that it was freed, nor how it was allocated.
bool sees_all_blocks(const Config& config) {
  return config.sample_bytes == 0 && config.min_size_bytes == 0 && config.max_size_bytes == 0;
}

void read_events(const Raw& raw, Reader& reader, Config& config) {
  Result<std::vector<std::string>> kinds = split_lists("--events", "kind of event", raw.events);
  if (!kinds) return reader.fail(std::move(kinds).error());
  for (const std::string& kind : *kinds) {
    if (kind == "mmap")
      config.follow_mappings = true;
    else if (kind == "fault")
      config.count_faults = true;
    else if (kind == "misuse")
      config.watch_misuse = true;
    else
      return reader.fail(usage(fmt::format("--events '{}': must be mmap, fault or misuse", kind)));
  }
}

void read_amounts(const Raw& raw, Reader& reader, Config& config) {
  std::uint64_t duration_ns = 0, count = 0, top = config.top, max_stack = config.max_stack;
  reader.duration("--interval", raw.interval, &config.interval_ns);
  reader.duration("--duration", raw.duration, &duration_ns);
  reader.duration("--older", raw.older, &config.older_ns);
  reader.size("--min-size", raw.min_size, &config.min_size_bytes);
  reader.size("--max-size", raw.max_size, &config.max_size_bytes);
  reader.size("--sample", raw.sample, &config.sample_bytes);
  reader.size("--max-memory", raw.max_memory, &config.max_memory_bytes);
  reader.number("--count", raw.count, 1, 1'000'000'000, &count);
  reader.number("--top", raw.top, 0, 1'000'000, &top);
  reader.number("--max-stack", raw.max_stack, 2, TR_MAX_FRAMES, &max_stack);
  if (reader.error) return;
  config.interval_given = !raw.interval.empty();
  if (!raw.duration.empty()) config.duration_ns = duration_ns;
  if (!raw.count.empty()) config.count = count;
  config.top = static_cast<unsigned>(top);
  if (!raw.top.empty()) config.profile_top = config.top;
  config.max_stack = static_cast<unsigned>(max_stack);
  if (config.interval_ns < 10'000'000) reader.fail(usage("--interval: must be 10ms or more"));
  if (config.duration_ns && *config.duration_ns == 0) reader.fail(usage("--duration: must be more than 0"));
  if (config.max_size_bytes != 0 && config.min_size_bytes > config.max_size_bytes)
    reader.fail(usage("--min-size is larger than --max-size: nothing would be traced"));
  if (config.sample_bytes != 0 && !kernel::sample_distance_fits(config.sample_bytes))
    reader.fail(usage("--sample: must be from 1k to 1g, or 0 for every allocation", "512k suits most programs"));
  if (config.watch_misuse && !sees_all_blocks(config))
    reader.fail(usage("--events misuse needs every block: --sample, --min-size and --max-size exclude it"));
  if (config.max_memory_bytes < kLeastMemory) reader.fail(usage("--max-memory: must be 16m or more"));
}

/// "fifo:" in front is how perf writes it.
void read_control(const Raw& raw, Reader& reader, Config& config) {
  if (raw.delay == "-1")
    config.delay_ns.reset();
  else
    reader.duration("--delay", raw.delay, &*config.delay_ns);
  if (!config.delay_ns && raw.control.empty())
    reader.fail(
        usage("--delay -1: nothing could ever begin to record", "give --control FIFO and write 'enable' to it"));
  if (raw.control.empty()) return;
  constexpr std::string_view kPrefix = "fifo:";
  const std::string text = raw.control.starts_with(kPrefix) ? raw.control.substr(kPrefix.size()) : raw.control;
  const std::size_t comma = text.find(',');
  session::ControlSpec spec{text.substr(0, comma), comma == std::string::npos ? "" : text.substr(comma + 1)};
  if (spec.commands.empty() || (comma != std::string::npos && spec.answers.empty()))
    return reader.fail(usage(fmt::format("--control '{}': an empty path", raw.control), "--control FIFO[,ACK_FIFO]"));
  config.control = std::move(spec);
}

void read_targets(const Raw& raw, Reader& reader, Config& config) {
  config.all = raw.all;
  if (Result<void> read = read_machine(raw.machine, config); !read) reader.fail(std::move(read).error());
  Result<std::vector<pid_t>> pids = parse_pids("--pid", raw.pids);
  if (pids)
    config.pids = std::move(*pids);
  else
    reader.fail(std::move(pids).error());
  config.command = raw.command;
  if (raw.follow && raw.no_follow) reader.fail(usage("--follow and --no-follow exclude each other"));
  if (raw.all && raw.no_follow)
    reader.fail(usage("--all traces children too: --no-follow excludes it", "--exclude-pid leaves processes out"));
  config.follow = raw.all || raw.follow || (!config.command.empty() && !raw.no_follow);
  const bool has_pids = !raw.pids.empty();
  const bool has_command = !config.command.empty();
  if (has_pids && has_command) reader.fail(usage("--pid and a command exclude each other", kForms));
  if (raw.all && (has_pids || has_command))
    reader.fail(usage(fmt::format("--all and {} exclude each other", has_pids ? "--pid" : "a command"), kForms));
  if (!raw.all && !has_pids && !has_command && !raw.check) reader.fail(usage("nothing to trace", kForms));
  if (raw.check && (has_command || raw.all))
    reader.fail(
        usage(fmt::format("--check takes no {}", has_command ? "command" : "--all"), "use 'tracer --check --pid PID'"));
}

/// How many letters must change, for "did you mean".
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row.back();
}

std::string hint_for(const CLI::App& app, std::string_view word) {
  constexpr std::size_t kClose = 3;
  std::string best;
  std::size_t best_distance = kClose;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      const std::string full = "--" + name;
      // Of a short name every word is close that is short too.
      if (const std::size_t far = distance(word, full); far < best_distance && far < name.size()) {
        best = full;
        best_distance = far;
      }
    }
  }
  return best.empty() ? "see 'tracer --help'" : fmt::format("did you mean {}?", best);
}

Error unknown_option(const CLI::App& app, std::string_view word) {
  return usage(fmt::format("unknown option {}", word), hint_for(app, word.substr(0, word.find('='))));
}

/// Values that CLI11 lets pass: the empty one of a script whose variable is not set, and that of "--check=false".
Result<void> check_values(const CLI::App& app) {
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& value : option->results()) {
      // Names with a default in braces are flags that may have a value.
      const bool may_have_one = takes_value(*option) || !option->get_fnames().empty();
      if (!may_have_one && value != "true") return usage(fmt::format("{} takes no value", option->get_name()));
      if (value.empty()) return usage(fmt::format("{}: an empty value", option->get_name()));
    }
  }
  return {};
}

/// What CLI11 left over: the command, perhaps behind "--", or an unknown option and all that follows it.
Result<void> take_command(const CLI::App& app, Raw& raw) {
  std::vector<std::string> words = app.remaining();
  if (words.empty()) return {};
  if (words.front() == "--")
    words.erase(words.begin());
  else if (words.front().starts_with('-') && words.front() != "-")
    return unknown_option(app, words.front());
  raw.command = std::move(words);
  return {};
}

/// Fills `raw`. After a failure `raw.command` is what could still be told apart as the command.
Result<void> parse_words(int argc, const char* const* argv, Raw& raw) {
  // execve(2) allows it, and CLI11 reads argv[0].
  if (argc < 1) return usage("nothing to trace", kForms);
  CLI::App app;
  declare(app, raw);
  std::optional<Error> failed;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& failure) {
    failed = usage(failure.what());
  }
  Result<void> command = take_command(app, raw);
  if (failed) return std::move(*failed);
  return command ? check_values(app) : std::move(command);
}

}  // namespace

Result<Options> parse_options(int argc, const char* const* argv) {
  if (is_about_recordings(argc, argv)) return parse_recording_options(argc, argv);
  Raw raw;
  if (Result<void> parsed = parse_words(argc, argv, raw); !parsed) return std::move(parsed).error();

  Options options;
  options.verbosity = raw.quiet ? 0 : 1 + std::min(raw.verbose, 2);
  options.config.argv.assign(argv, argv + argc);
  if (raw.help || raw.version) {
    options.mode = raw.help ? Options::Mode::kHelp : Options::Mode::kVersion;
    return options;
  }
  if (raw.check) options.mode = Options::Mode::kCheck;
  Config& config = options.config;
  Reader reader;
  read_targets(raw, reader, config);
  read_events(raw, reader, config);
  read_amounts(raw, reader, config);
  read_control(raw, reader, config);
  if (Result<report::OutputOptions> output = read_outputs(raw.output); output)
    config.output = std::move(*output);
  else
    reader.fail(std::move(output).error());
  if (Result<Leaks> leaks = read_leaks(raw.leaks); leaks) {
    config.suppressions = leaks->suppressions;
    options.leak_exitcode = leaks->exitcode;
  } else {
    reader.fail(std::move(leaks).error());
  }
  config.output.defers_stdout = !config.command.empty();
  read_choices(raw, reader, config);
  if (Result<void> read = read_allocators(raw.allocators, config); !read) reader.fail(std::move(read).error());
  reader.regex("--include", raw.include);
  reader.regex("--exclude", raw.exclude);
  if (reader.error) return std::move(*reader.error);
  config.include = raw.include;
  config.exclude = raw.exclude;
  config.inlines = !raw.no_inline;
  config.demangle = !raw.no_demangle;
  if (!raw.debuginfod.empty()) config.debuginfod = raw.debuginfod == "environment" ? "" : raw.debuginfod;
  return options;
}

ExitCode usage_exit_code(int argc, const char* const* argv) {
  if (is_about_recordings(argc, argv)) return ExitCode::kUsage;
  Raw raw;
  if (parse_words(argc, argv, raw) || !raw.command.empty())
    return raw.command.empty() ? ExitCode::kUsage : ExitCode::kTracerFailed;
  // Options that cannot be told from a command; still "--" says that one was to be run.
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--" && i + 1 < argc) return ExitCode::kTracerFailed;
  }
  return ExitCode::kUsage;
}

}  // namespace tracer::cli
