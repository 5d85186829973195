// SPDX-License-Identifier: Apache-2.0
#include "report_fixture.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace tracer::report::testing {
namespace {

constexpr heap::ModuleId kServer = 1;
constexpr heap::ModuleId kLibc = 2;
constexpr heap::ModuleId kCxx = 3;
constexpr heap::ModuleId kPlugin = 4;
constexpr std::uint64_t kStartUs = 1'795'600'000'123'456;

heap::Frame frame(heap::ModuleId module, std::uint64_t base, std::uint64_t address, bool exact = false) {
  return {.ip = base + address, .module = module, .module_address = address, .exact = exact};
}
heap::Frame server(std::uint64_t address) { return frame(kServer, 0x555555554000, address); }
heap::Frame libc(std::uint64_t address, bool exact = false) { return frame(kLibc, 0x7f1c2a000000, address, exact); }

symbols::SourceFrame source(std::string function, std::string mangled = {}, std::string file = {},
                            std::uint32_t line = 0, bool inlined = false) {
  return {std::move(function), std::move(mangled), std::move(file), line, inlined, true};
}

void name_frames() {
  fake_names() = {};
  auto& frames = fake_names().frames;
  frames[{kLibc, 0x9b7a0}] = {source("malloc")};
  frames[{kLibc, 0x9c2f0}] = {source("calloc")};
  frames[{kLibc, 0x9be10}] = {source("realloc")};
  frames[{kLibc, 0x2724a}] = {source("__libc_start_call_main")};
  frames[{kCxx, 0xab25c}] = {source("operator new(unsigned long)", "_Znwm")};
  frames[{kServer, 0x1228}] = {source("inner(unsigned long)", "_Z5innerm", "/src/t.cpp", 5, true),
                               source("leaky(unsigned long)", "_Z5leakym", "/src/t.cpp", 6)};
  frames[{kServer, 0x10d9}] = {source("main", "", "/src/main.cpp", 8)};
  frames[{kServer, 0x3410}] = {
      source("cache::Table<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >, "
             "std::shared_ptr<cache::Entry> >::insert(std::shared_ptr<cache::Entry> const&)",
             "_ZN5cache5TableINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEESt10shared_ptrINS_5EntryEEE6"
             "insertERKS9_",
             "/src/server/include/cache/table.h", 214)};
}

heap::SiteTotals site(heap::StackId id, std::uint64_t allocs, std::uint64_t frees, std::uint64_t size,
                      std::uint64_t young = 0, std::uint64_t mean_age_ms = 0) {
  heap::SiteTotals made;
  made.stack_id = id;
  made.alloc_objects = allocs;
  made.alloc_bytes = allocs * size;
  made.free_objects = frees;
  made.free_bytes = frees * size;
  made.young_objects = young;
  made.young_bytes = young * size;
  made.mean_age_ns = mean_age_ms * 1'000'000;
  return made;
}

heap::StackEnd end_of(heap::StackId id) {
  return id == 18   ? heap::StackEnd::kBadFrame
         : id == 19 ? heap::StackEnd::kTruncated
         : id == 21 ? heap::StackEnd::kNotRecorded
                    : heap::StackEnd::kComplete;
}

/// Little that leaks goes before much that does not.
void set_trends(heap::ProcessSnapshot& process) {
  for (heap::SiteTotals& one : process.sites) {
    heap::Trend& trend = one.trend;
    trend.observed_ns = 10'000'000'000;
    if (one.stack_id == 17) {
      trend.course = heap::Course::kGrowing;
      trend.growth_bytes_per_s = 7800.5;
      trend.growth_error = 624;
      trend.freed_after_ns = 12'000'000;
      trend.peak_bytes = 120'000;
      trend.stayed = {60'000, 40'000, 20'000};
    } else if (one.stack_id == 18) {
      trend.course = heap::Course::kStopped;
      trend.quiet_ns = 8'000'000'000;
      trend.peak_bytes = one.live_bytes();
      trend.stayed = {one.live_bytes(), one.live_bytes(), one.live_bytes()};
    }
  }
}

void add_up(heap::ProcessSnapshot& process) {
  for (const heap::SiteTotals& one : process.sites) {
    process.stack_ends[static_cast<std::size_t>(end_of(one.stack_id))] += one.alloc_objects;
    process.alloc_objects_total += one.alloc_objects;
    process.alloc_bytes_total += one.alloc_bytes;
    process.free_objects_total += one.free_objects;
    process.free_bytes_total += one.free_bytes;
    process.live_objects += one.live_objects();
    process.live_bytes += one.live_bytes();
  }
  process.peak_bytes = process.live_bytes + 1'048'576;
}

}  // namespace

Scene::Scene() {
  name_frames();
  const std::map<heap::ModuleId, std::string> modules{{kServer, "/usr/bin/server"},
                                                      {kLibc, "/usr/lib/x86_64-linux-gnu/libc.so.6"},
                                                      {kCxx, "/usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30"},
                                                      {kPlugin, "/opt/plugins/libshape.so"}};
  for (const auto& [id, path] : modules) {
    symbols::ModuleFile file;
    file.path = path;
    if (id != kPlugin) file.build_id = fmt::format("{:040x}", id);
    symbolizer_.add_module(id, std::move(file));
  }
  add_stack({17,
             4242,
             {libc(0x9b7a0, true), frame(kCxx, 0x7f1c2b000000, 0xab25c), server(0x1228), server(0x10d9), libc(0x2724a)},
             heap::StackEnd::kComplete,
             {}});
  add_stack({18,
             4242,
             {libc(0x9c2f0, true), server(0x3410), frame(kPlugin, 0x7f1c2c000000, 0x1a30)},
             heap::StackEnd::kBadFrame,
             {}});
  add_stack({19, 4242, {libc(0x9be10, true), {.ip = 0x7f1c30001042}, server(0x10d9)}, heap::StackEnd::kTruncated, {}});
  add_stack({20, 4242, {libc(0x9b7a0, true), server(0x10d9), libc(0x2724a)}, heap::StackEnd::kComplete, {}});
  add_stack({21, 4242, {}, heap::StackEnd::kNotRecorded, {}});
  add_stack({22, 4250, {libc(0x9b7a0, true), server(0x10d9)}, heap::StackEnd::kComplete, {}});
}

void Scene::add_stack(heap::Stack stack) {
  const heap::StackId id = stack.id;
  if (id == 18) stack.frames.back().by_frame_pointer = true;
  stacks_[id] = std::move(stack);
}

Context Scene::context(unsigned top) {
  Context context;
  context.stack = [this](heap::StackId id) -> const heap::Stack* {
    const auto found = stacks_.find(id);
    return found == stacks_.end() ? nullptr : &found->second;
  };
  context.symbolizer = &names_;
  context.top = top;
  return context;
}

RunInfo Scene::run() {
  RunInfo run;
  run.argv = {"tracer", "-p", "4242", "-f", "ndjson"};
  run.host = this_host();
  run.mode = "pid";
  run.pids = {4242};
  run.unix_us = kStartUs;
  run.interval_ns = 5'000'000'000;
  run.older_ns = 500'000'000;
  run.max_stack = 127;
  run.unwind = "dwarf";
  run.backend = "multi";
  return run;
}

heap::Snapshot Scene::snapshot() {
  heap::Snapshot snapshot;
  snapshot.seq = 1;
  snapshot.t_ns = 5'000'033'000;
  snapshot.unix_us = kStartUs + 5'000'033;
  heap::ProcessSnapshot& process = snapshot.processes.emplace_back();
  process.pid = 4242;
  process.comm = "server";
  process.sites = {site(20, 9'000'000, 9'000'000, 144), site(17, 120, 40, 1000, 8, 2300),
                   site(19, 3, 1, 65'536, 2, 120), site(18, 12'000, 0, 1504, 0, 3100), site(21, 5, 2, 16, 0, 900)};
  add_up(process);
  process.free_unknown_total = 12;
  process.rss_bytes = 31'457'280;
  return snapshot;
}

heap::Snapshot Scene::last_snapshot() {
  heap::Snapshot last = snapshot();
  last.seq = 2;
  last.t_ns = 10'276'544'000;
  last.unix_us = kStartUs + 10'276'544;
  last.processes[0].exited = true;
  last.processes[0].rss_bytes = 0;
  set_trends(last.processes[0]);
  last.processes[0].failed_objects_total = 1;
  heap::ProcessSnapshot& child = last.processes.emplace_back();
  child.pid = 4250;
  child.comm = "worker";
  child.exited = true;
  child.sites = {site(22, 7, 6, 4096, 0, 5100)};
  add_up(child);
  last.losses[static_cast<std::size_t>(heap::Loss::kBlocksFull)] = 11;
  last.losses[static_cast<std::size_t>(heap::Loss::kReadFault)] = 1;
  return last;
}

Result<void> Scene::play(Writer& writer) {
  const auto at = [](auto event, std::uint64_t t_ns) {
    event.t_ns = t_ns;
    event.unix_us = kStartUs + t_ns / 1000;
    return event;
  };
  ProcessEvent attach = at(ProcessEvent(), 545'000);
  attach.pid = 4242;
  attach.parent_pid = 1;
  attach.comm = "server";
  attach.exe = "/usr/bin/server";
  attach.cmdline = {"./server", "--threads", "4"};
  ProcessEvent fork = at(attach, 2'000'000'000);
  fork.kind = ProcessEvent::Kind::kFork;
  fork.pid = 4250;
  fork.parent_pid = 4242;
  fork.comm = "worker";
  ProcessEvent killed = at(fork, 9'000'000'000);
  killed.kind = ProcessEvent::Kind::kExit;
  killed.exit_signal = 9;
  ProcessEvent exit = at(attach, 10'176'544'000);
  exit.kind = ProcessEvent::Kind::kExit;
  exit.exit_code = 0;
  LibraryEvent load = at(LibraryEvent(), 6'766'000);
  load.pid = 4242;
  load.module = 3;
  load.state = "armed";
  load.identity = {"8:1", 1234, 77, 1'690'000'000'123'456'789, "generation"};
  load.armed_ns = 412'345;
  load.path = "/usr/lib/x86_64-linux-gnu/libc.so.6";
  load.build_id = "51657f818beb1ae70372216a99b7412b8a100a20";
  load.start = 0x7f1c2a000000;
  load.end = 0x7f1c2a1d3000;
  load.file_offset = 155'648;
  load.probes = {"malloc", "calloc", "realloc", "free"};
  LibraryEvent unload = at(load, 10'186'544'000);
  unload.kind = LibraryEvent::Kind::kUnload;
  unload.armed_ns.reset();
  LibraryEvent retire = unload;
  retire.kind = LibraryEvent::Kind::kRetire;
  retire.state = "retired";
  retire.pid = 0;
  retire.start = retire.end = retire.file_offset = 0;
  RecordingEvent off = at(RecordingEvent(), 7'000'000'000);
  RecordingEvent on = at(RecordingEvent(), 8'500'000'000);
  on.enabled = true;
  on.paused_ns = 1'500'000'000;
  on.unverified_objects = 3;
  on.unverified_bytes = 3072;
  Diagnostic diagnostic = at(Diagnostic(), 6'476'544'000);
  diagnostic.severity = "warning";
  diagnostic.code = "stack_truncated";
  diagnostic.message = "37 stacks end in a module built without frame pointers";
  diagnostic.hint = "build it with -fno-omit-frame-pointer";
  diagnostic.pid = 4242;

  Result<void> done = writer.begin(run());
  if (done) done = writer.process(attach);
  if (done) done = writer.library(load);
  if (done) done = writer.process(fork);
  if (done) done = writer.snapshot(snapshot());
  if (done) done = writer.diagnostic(diagnostic);
  if (done) done = writer.recording(off);
  if (done) done = writer.recording(on);
  if (done) done = writer.process(killed);
  if (done) done = writer.process(exit);
  if (done) done = writer.library(unload);
  if (done) done = writer.library(retire);
  if (done) done = writer.finish(last_snapshot(), {"target_exit", 10'276'544'000, 1, 1'500'000'000});
  return done;
}

heap::ProcessSnapshot process_with(const std::vector<std::uint64_t>& live_bytes) {
  heap::ProcessSnapshot process;
  process.pid = 4242;
  process.comm = "server";
  heap::StackId id = 100;
  for (const std::uint64_t bytes : live_bytes) process.sites.push_back(site(id++, 1, 0, bytes));
  add_up(process);
  return process;
}

void expect_golden(const std::string& name, const std::string& text) {
  const std::string path = std::string(TRACER_SOURCE_DIR "/tests/golden/") + name;
  if (const char* update = std::getenv("TRACER_UPDATE_GOLDEN"); update != nullptr && std::string_view(update) == "1") {
    std::ofstream(path) << text;
    return;
  }
  std::ifstream file(path);
  ASSERT_TRUE(file.is_open()) << path << " is missing; TRACER_UPDATE_GOLDEN=1 writes it";
  std::ostringstream expected;
  expected << file.rdbuf();
  EXPECT_EQ(text, expected.str()) << "a wanted change: run again with TRACER_UPDATE_GOLDEN=1 and review the diff";
}

int validate(const std::string& ndjson) {
  const std::filesystem::path path = std::filesystem::temp_directory_path() / ("schema-" + std::to_string(::getpid()));
  std::ofstream(path) << ndjson;
  const std::string command =
      "/usr/bin/python3 -c '\n"
      "import json, sys, jsonschema\n"
      "schema = json.load(open(sys.argv[1]))\n"
      "jsonschema.Draft202012Validator.check_schema(schema)\n"
      "validator = jsonschema.Draft202012Validator(schema)\n"
      "errors = [e for line in open(sys.argv[2]) for e in validator.iter_errors(json.loads(line))]\n"
      "for error in errors: print(error.json_path, error.message, file=sys.stderr)\n"
      "sys.exit(3 if errors else 0)' " TRACER_SOURCE_DIR "/docs/ndjson-schema.json " +
      path.string();
  const int status = std::system(command.c_str());
  std::filesystem::remove(path);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(SceneTest, HasAStackForEverySite) {
  Scene scene;
  const Context context = scene.context();
  for (const heap::ProcessSnapshot& process : Scene::last_snapshot().processes) {
    for (const heap::SiteTotals& one : process.sites) EXPECT_NE(context.stack(one.stack_id), nullptr) << one.stack_id;
  }
}

}  // namespace tracer::report::testing
