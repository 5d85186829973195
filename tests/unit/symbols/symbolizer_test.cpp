// SPDX-License-Identifier: Apache-2.0
#include "symbols/symbolizer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <map>
#include <random>
#include <sstream>

#include "other_tools.h"
#include "program.h"

namespace tracer::symbols {
namespace {

UniqueFd open_file(const std::string& path) { return UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC)); }

ModuleFile module_at(const std::string& path, const std::string& root = "") {
  return {path, "", open_file(path), root};
}

heap::Frame exact(std::uint64_t address) { return {address + 0x1000, 0, address, true}; }
heap::Frame returning_to(std::uint64_t address) { return {address + 0x1000, 0, address, false}; }

std::ptrdiff_t open_files() { return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}); }

FramesByAddress addr2line(const std::string& path, const std::vector<std::uint64_t>& addresses) {
  return frames_by("addr2line -C", path, addresses);
}

class SymbolizerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { program_ = new Program; }
  static void TearDownTestSuite() { delete program_; }

  /// A copy of the program after `command`, in which IN and OUT stand for the files.
  static std::string variant(const std::string& name, const std::string& tools) {
    run("cd " + program_->directory().path() + " && IN=full && OUT=" + name + " && " + tools);
    return program_->directory() / name;
  }
  static std::uint64_t total() { return program_->address_of("_ZNK4shop6Basket5totalEi"); }

  /// The first address in Basket::total() with three inlined calls, as addr2line sees it.
  static std::uint64_t deep_address() {
    static const std::uint64_t kAddress = [] {
      for (const auto& [address, frames] : addr2line(program_->path(), program_->instructions())) {
        if (frames.size() == 4 && frames[3].starts_with("shop::Basket::total(")) return address;
      }
      return std::uint64_t{0};
    }();
    return kAddress;
  }

  static void expect_deep_frames(const std::vector<SourceFrame>& frames) {
    ASSERT_EQ(frames.size(), 4u);
    EXPECT_EQ(frames[0].function, "shop::innermost(int)");
    EXPECT_EQ(frames[0].mangled, "_ZN4shop9innermostEi");
    EXPECT_EQ(frames[1].function, "shop::middle(int)");
    EXPECT_EQ(frames[1].line, 13u);
    EXPECT_EQ(frames[2].function, "shop::outer(int)");
    EXPECT_EQ(frames[2].line, 18u);
    EXPECT_EQ(frames[3].function, "shop::Basket::total(int) const");
    EXPECT_EQ(frames[3].line, 27u);
    for (const SourceFrame& frame : frames) {
      EXPECT_EQ(frame.inlined, &frame != &frames.back());
      EXPECT_TRUE(frame.named);
      EXPECT_EQ(frame.file, program_->directory() / "shop.cpp");
    }
  }

  static void expect_name_only(const std::vector<SourceFrame>& frames, const std::string& name) {
    ASSERT_EQ(frames.size(), 1u);
    EXPECT_EQ(frames[0].function, name);
    EXPECT_TRUE(frames[0].named);
    EXPECT_FALSE(frames[0].inlined);
    EXPECT_EQ(frames[0].file, "");
    EXPECT_EQ(frames[0].line, 0u);
  }

  static Program* program_;
};
Program* SymbolizerTest::program_ = nullptr;

void expect_same_as_addr2line(const Program& program) {
  const std::vector<std::uint64_t> addresses = program.instructions();
  ASSERT_GT(addresses.size(), 100u);
  auto expected = addr2line(program.path(), addresses);
  Symbolizer symbolizer;
  symbolizer.add_module(0, module_at(program.path()));
  std::size_t inlined = 0;
  for (std::uint64_t address : addresses) {
    std::vector<std::string> frames;
    for (const SourceFrame& frame : symbolizer.symbolize(exact(address))) frames.push_back(line_of(frame));
    EXPECT_EQ(frames, expected[address]) << fmt::format("at {:#x}", address);
    if (frames.size() > 3) ++inlined;
  }
  EXPECT_GT(inlined, 10u);
}

TEST_F(SymbolizerTest, AgreesWithAddr2lineOnEveryInstruction) { expect_same_as_addr2line(*program_); }

TEST_F(SymbolizerTest, CopiesOfAFileShareWhatIsReadOfItUntilOneIsOverwritten) {
  Symbolizer symbolizer;
  const auto add = [&](heap::ModuleId id, const std::string& path) {
    struct stat status {};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    ModuleFile file = module_at(path);
    file.build_id = "c0ffee";
    file.size_bytes = static_cast<std::uint64_t>(status.st_size);
    file.modified_ns = static_cast<std::uint64_t>(status.st_mtim.tv_sec) * 1'000'000'000U +
                       static_cast<std::uint64_t>(status.st_mtim.tv_nsec);
    symbolizer.add_module(id, std::move(file));
  };
  const auto ask = [&](heap::ModuleId id, heap::Frame frame) {
    frame.module = id;
    return symbolizer.symbolize(frame);
  };
  const std::string first = variant("first", "cp $IN $OUT");
  const std::string second = variant("second", "cp $IN $OUT");
  add(0, first);
  add(1, second);
  expect_deep_frames(ask(0, exact(deep_address())));
  expect_deep_frames(ask(1, exact(deep_address())));
  // The one that was read is written to: its copy is read instead.
  run("cd " + program_->directory().path() + " && sleep 0.02 && printf x >> first");
  expect_deep_frames(ask(1, returning_to(deep_address() + 1)));
  EXPECT_FALSE(ask(0, returning_to(deep_address() + 1)).back().named);
}

TEST_F(SymbolizerTest, OpensNoMoreThanAFewModulesAtATimeAndAnswersForAll) {
  constexpr heap::ModuleId kModules = 120;
  struct stat status {};
  ASSERT_EQ(::stat(program_->path().c_str(), &status), 0);
  Symbolizer symbolizer;
  for (heap::ModuleId id = 0; id < kModules; ++id) {
    ModuleFile file = module_at(program_->path());
    file.size_bytes = static_cast<std::uint64_t>(status.st_size);
    file.modified_ns = static_cast<std::uint64_t>(status.st_mtim.tv_sec) * 1'000'000'000U +
                       static_cast<std::uint64_t>(status.st_mtim.tv_nsec);
    symbolizer.add_module(id, std::move(file));
  }
  for (const bool is_first : {true, false}) {
    for (heap::ModuleId id = 0; id < kModules; ++id) {
      heap::Frame frame = is_first ? exact(deep_address()) : returning_to(deep_address() + 1);
      frame.module = id;
      expect_deep_frames(symbolizer.symbolize(frame));
    }
  }
  // Of each the file that was given, and another descriptor of it.
  EXPECT_LT(open_files(), 2 * kModules + 60);
}

TEST_F(SymbolizerTest, AgreesWithAddr2lineOnDwarf4AndCompressedSections) {
  expect_same_as_addr2line(Program("-gdwarf-4 -gz"));
}

TEST_F(SymbolizerTest, AgreesWithAddr2lineOnWhatDwzHasMovedIntoASharedFile) {
  const Program program("-gdwarf-4");
  run("cd " + program.directory().path() + " && cp full other && dwz -m shared.debug full other");
  ASSERT_NE(output_of("readelf -S -W " + program.path()).find(".gnu_debugaltlink"), std::string::npos);
  expect_same_as_addr2line(program);
}

TEST_F(SymbolizerTest, TellsTheWholeChainOfInlinedCalls) {
  Symbolizer symbolizer;
  symbolizer.add_module(0, module_at(program_->path()));
  expect_deep_frames(symbolizer.symbolize(exact(deep_address())));
}

TEST_F(SymbolizerTest, LooksUpTheInstructionBeforeAReturnAddress) {
  Symbolizer symbolizer;
  symbolizer.add_module(0, module_at(program_->path()));
  EXPECT_EQ(symbolizer.symbolize(exact(total())).back().function, "shop::Basket::total(int) const");
  EXPECT_NE(symbolizer.symbolize(returning_to(total())).back().function, "shop::Basket::total(int) const");
  EXPECT_EQ(symbolizer.symbolize(returning_to(total() + 1)).back().function, "shop::Basket::total(int) const");
}

TEST_F(SymbolizerTest, ShowsOnlyRealFunctionsOnRequest) {
  Symbolizer symbolizer(Options{.inlines = false, .demangle = false});
  symbolizer.add_module(0, module_at(program_->path()));
  const auto& frames = symbolizer.symbolize(exact(deep_address()));
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].function, "_ZNK4shop6Basket5totalEi");
  EXPECT_EQ(frames[0].mangled, "");
  EXPECT_EQ(frames[0].line, 27u);
  EXPECT_FALSE(frames[0].inlined);
}

TEST_F(SymbolizerTest, FindsADebugFileByBuildIdBelowTheRoot) {
  const std::string stripped = variant("by_id", "strip -o $OUT $IN");
  const std::string id = output_of("readelf -n " + stripped + " | sed -n 's/.*Build ID: //p' | tr -d '\\n'");
  ASSERT_EQ(id.size(), 40u);
  const std::string directory = "root/usr/lib/debug/.build-id/" + id.substr(0, 2);
  variant(directory + "/" + id.substr(2) + ".debug",
          "mkdir -p " + directory + " && objcopy --only-keep-debug $IN $OUT");
  const auto before = open_files();
  Symbolizer symbolizer;
  symbolizer.add_module(0, module_at(stripped, program_->directory() / "root"));
  expect_deep_frames(symbolizer.symbolize(exact(deep_address())));
  symbolizer.release_module(0);
  EXPECT_EQ(open_files(), before);
}

TEST_F(SymbolizerTest, RefusesADebugFileWithAnotherBuildId) {
  const std::string stripped = variant("wrong_id", "strip -o $OUT $IN");
  const std::string directory = "other/usr/lib/debug/.build-id/12";
  variant(directory + "/3456.debug", "mkdir -p " + directory + " && objcopy --only-keep-debug $IN $OUT");
  ModuleFile module = module_at(stripped, program_->directory() / "other");
  module.build_id = "123456";
  Symbolizer symbolizer;
  symbolizer.add_module(0, std::move(module));
  EXPECT_FALSE(symbolizer.symbolize(exact(total())).back().named);
}

TEST_F(SymbolizerTest, FindsADebugFileByDebugLink) {
  for (const std::string place : {"", ".debug/"}) {
    const std::string name = place.empty() ? "beside" : "below";
    const std::string stripped = variant(name, "mkdir -p .debug && objcopy --only-keep-debug $IN " + place + name +
                                                   ".dbg && strip -o $OUT $IN && "
                                                   "objcopy --remove-section=.note.gnu.build-id --add-gnu-debuglink=" +
                                                   place + name + ".dbg $OUT");
    Symbolizer symbolizer;
    symbolizer.add_module(0, module_at(stripped));
    expect_deep_frames(symbolizer.symbolize(exact(deep_address())));
  }
}

TEST_F(SymbolizerTest, RefusesADebugFileWithAnotherChecksum) {
  const std::string stripped =
      variant("stale",
              "objcopy --only-keep-debug $IN stale.dbg && strip -o $OUT $IN && objcopy "
              "--remove-section=.note.gnu.build-id --add-gnu-debuglink=stale.dbg $OUT && printf x >> stale.dbg");
  Symbolizer symbolizer;
  symbolizer.add_module(0, module_at(stripped));
  EXPECT_FALSE(symbolizer.symbolize(exact(total())).back().named);
}

TEST_F(SymbolizerTest, NamesFunctionsFromSymbolsWithoutDwarf) {
  Symbolizer symbolizer;
  symbolizer.add_module(0, module_at(variant("symbols", "strip --strip-debug -o $OUT $IN")));
  expect_name_only(symbolizer.symbolize(exact(deep_address())), "shop::Basket::total(int) const");
  expect_name_only(symbolizer.symbolize(exact(program_->address_of("_ZL12local_helperi"))), "local_helper(int)");
}

TEST_F(SymbolizerTest, NamesFunctionsFromDwarfWithoutSymbols) {
  const std::string path = variant("dwarf", "strip --strip-all --keep-section='.debug_*' -o $OUT $IN");
  ASSERT_EQ(output_of("nm " + path + " 2>/dev/null"), "");
  Symbolizer symbolizer;
  symbolizer.add_module(0, module_at(path));
  expect_deep_frames(symbolizer.symbolize(exact(deep_address())));
}

TEST_F(SymbolizerTest, NamesFunctionsFromCompressedDebugData) {
  const std::string path = variant("mini",
                                   "objcopy --only-keep-debug $IN mini.dbg && strip --strip-debug mini.dbg && "
                                   "xz -f mini.dbg && strip -R .note.gnu.build-id -o $OUT $IN && "
                                   "objcopy --add-section .gnu_debugdata=mini.dbg.xz $OUT");
  Symbolizer symbolizer;
  symbolizer.add_module(0, module_at(path));
  expect_name_only(symbolizer.symbolize(exact(deep_address())), "shop::Basket::total(int) const");
}

TEST_F(SymbolizerTest, SaysWhereNamelessCodeIs) {
  const std::string path = variant("nameless", "strip -R .note.gnu.build-id -o $OUT $IN");
  Symbolizer symbolizer;
  symbolizer.add_module(0, module_at(path));
  const std::uint64_t address = total() + 4;
  for (const heap::Frame& frame : {exact(address), returning_to(address)}) {
    const auto& frames = symbolizer.symbolize(frame);
    ASSERT_EQ(frames.size(), 1u);
    EXPECT_EQ(frames[0].function, fmt::format("[nameless+{:#x}]", address));
    EXPECT_FALSE(frames[0].named);
    EXPECT_EQ(frames[0].mangled, "");
  }
}

TEST_F(SymbolizerTest, SaysTheAddressOfCodeWithoutAModule) {
  Symbolizer symbolizer;
  heap::Frame frame;
  frame.ip = 0x7f0012345678;
  const auto& frames = symbolizer.symbolize(frame);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].function, "[0x7f0012345678]");
  EXPECT_FALSE(frames[0].named);
  EXPECT_EQ(symbolizer.module_path(heap::kNoModule), "");
}

TEST_F(SymbolizerTest, KeepsAnswersAfterAModuleIsReleased) {
  const std::string path = program_->path();
  ModuleFile module = module_at(path);
  const int fd = module.file.get();
  module.build_id = "abcdef";
  Symbolizer symbolizer;
  symbolizer.add_module(0, std::move(module));
  const std::uint64_t address = deep_address();
  const std::vector<SourceFrame>& before = symbolizer.symbolize(exact(address));
  symbolizer.release_module(0);
  EXPECT_EQ(fcntl(fd, F_GETFD), -1) << "the file is still open";
  EXPECT_EQ(&symbolizer.symbolize(exact(address)), &before);
  expect_deep_frames(before);
  EXPECT_EQ(symbolizer.symbolize(exact(total())).back().function, fmt::format("[full+{:#x}]", total()));
  EXPECT_EQ(symbolizer.module_path(0), path);
  EXPECT_EQ(symbolizer.module_build_id(0), "abcdef");
}

TEST_F(SymbolizerTest, ClosesAFileThatNobodyAskedAbout) {
  ModuleFile module = module_at(program_->path());
  const int fd = module.file.get();
  Symbolizer symbolizer;
  symbolizer.add_module(0, std::move(module));
  symbolizer.release_module(0);
  EXPECT_EQ(fcntl(fd, F_GETFD), -1);
  EXPECT_FALSE(symbolizer.symbolize(exact(total())).back().named);
}

TEST_F(SymbolizerTest, ReadsADeletedFileThroughItsDescriptor) {
  const std::string path = variant("deleted", "cp $IN $OUT");
  Symbolizer symbolizer;
  symbolizer.add_module(0, module_at(path));
  std::filesystem::remove(path);
  expect_deep_frames(symbolizer.symbolize(exact(deep_address())));
}

TEST_F(SymbolizerTest, AsksAFileNoMoreThatWasWrittenTo) {
  const std::string path = variant("overwritten", "cp $IN $OUT");
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  ModuleFile module = module_at(path);
  module.size_bytes = static_cast<std::uint64_t>(status.st_size);
  module.modified_ns = static_cast<std::uint64_t>(status.st_mtim.tv_sec) * 1'000'000'000U +
                       static_cast<std::uint64_t>(status.st_mtim.tv_nsec);
  Symbolizer symbolizer;
  symbolizer.add_module(0, std::move(module));
  const std::vector<SourceFrame>& before = symbolizer.symbolize(exact(deep_address()));
  expect_deep_frames(before);
  const timespec later[2] = {{1, 0}, {1, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), later, 0), 0);
  EXPECT_FALSE(symbolizer.symbolize(exact(total())).back().named);
  expect_deep_frames(symbolizer.symbolize(exact(deep_address())));
}

TEST_F(SymbolizerTest, AsksAgainWhatItCouldNotAnswerWhenTheFileIsBack) {
  Symbolizer symbolizer;
  symbolizer.add_module(0, module_at(program_->path()));
  symbolizer.release_module(0);
  const std::vector<SourceFrame>& answer = symbolizer.symbolize(exact(deep_address()));
  EXPECT_FALSE(answer.back().named);
  symbolizer.add_module(0, module_at(program_->path()));
  symbolizer.symbolize(exact(deep_address()));
  expect_deep_frames(answer);
}

TEST_F(SymbolizerTest, OpensTheFileBelowTheRootWhenThereIsNoDescriptor) {
  ModuleFile module{"/full", "", UniqueFd(), program_->directory().path()};
  Symbolizer symbolizer;
  symbolizer.add_module(0, std::move(module));
  expect_deep_frames(symbolizer.symbolize(exact(deep_address())));
}

TEST_F(SymbolizerTest, DoesNotTakeAnotherFileThatHasTheSamePath) {
  ModuleFile module{program_->path(), "00112233", UniqueFd(), ""};
  Symbolizer symbolizer;
  symbolizer.add_module(0, std::move(module));
  EXPECT_FALSE(symbolizer.symbolize(exact(total())).back().named);
}

TEST(SymbolizerLibcTest, PrefersPublicNames) {
  const std::string path = "/lib/x86_64-linux-gnu/libc.so.6";
  for (const std::string name : {"malloc", "free", "calloc", "realloc", "read", "posix_memalign"}) {
    const std::string text = output_of("nm -D " + path + " | awk '$3 ~ /^" + name + "@/{print $1}'");
    const std::uint64_t address = std::strtoull(text.c_str(), nullptr, 16);
    ASSERT_NE(address, 0u);
    Symbolizer symbolizer;
    symbolizer.add_module(0, module_at(path));
    EXPECT_EQ(symbolizer.symbolize(exact(address)).back().function, name);
  }
}

/// Answers about all functions of the program from a damaged copy of it; every answer has to have a name.
void ask_about_damaged(const TempDirectory& directory, const std::string& content,
                       const std::vector<std::uint64_t>& addresses) {
  write_file(directory / "damaged", content);
  Symbolizer symbolizer;
  symbolizer.add_module(0, module_at(directory / "damaged"));
  for (std::uint64_t address : addresses) {
    for (const SourceFrame& frame : symbolizer.symbolize(exact(address))) EXPECT_NE(frame.function, "");
  }
}

TEST_F(SymbolizerTest, SurvivesDamagedFiles) {
  const std::string whole = read_file(program_->path());
  std::vector<std::uint64_t> addresses = program_->instructions();
  std::mt19937 random(20);
  for (int round = 0; round < 300; ++round) {
    std::string content = whole;
    const std::size_t flips = 1 + random() % 50;
    for (std::size_t i = 0; i < flips; ++i) content[random() % content.size()] = static_cast<char>(random());
    content.replace(0, 64, whole, 0, 64);  // a file without its magic is refused at once
    ask_about_damaged(program_->directory(), content, addresses);
  }
}

TEST_F(SymbolizerTest, SurvivesFilesThatAreCutShort) {
  const std::string whole = read_file(program_->path());
  const std::vector<std::uint64_t> addresses = program_->instructions();
  for (std::size_t size = 0; size < whole.size(); size += whole.size() / 100) {
    ask_about_damaged(program_->directory(), whole.substr(0, size), addresses);
  }
}

TEST(SymbolizerGarbageTest, TakesFilesThatAreNoElfFiles) {
  TempDirectory directory;
  write_file(directory / "text", "not an ELF file");
  write_file(directory / "empty", "");
  write_file(directory / "magic", std::string("\177ELF\2\1\1") + std::string(200, '\xff'));
  Symbolizer symbolizer;
  heap::ModuleId id = 0;
  for (const std::string name : {"text", "empty", "magic", "missing"}) {
    symbolizer.add_module(id, module_at(directory / name));
    EXPECT_EQ(symbolizer.symbolize({0x1234, id++, 0x1234, true})[0].function, "[" + name + "+0x1234]");
  }
}

}  // namespace
}  // namespace tracer::symbols
