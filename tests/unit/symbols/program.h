// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace tracer::symbols {

/// A directory that goes away with the object.
class TempDirectory {
 public:
  TempDirectory() {
    std::string pattern = std::filesystem::temp_directory_path() / "tracer-symbols-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = std::filesystem::canonical(pattern);
  }
  ~TempDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;

  std::string operator/(const std::string& name) const { return path_ / name; }
  std::string path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Runs a shell command that has to succeed.
inline void run(const std::string& command) { ASSERT_EQ(std::system(command.c_str()), 0) << command; }

inline std::string output_of(const std::string& command) {
  struct Close {
    void operator()(std::FILE* pipe) const { pclose(pipe); }
  };
  std::unique_ptr<std::FILE, Close> pipe(popen(command.c_str(), "r"));
  std::string text;
  std::array<char, 65536> buffer;
  while (std::size_t got = std::fread(buffer.data(), 1, buffer.size(), pipe.get())) text.append(buffer.data(), got);
  return text;
}

inline std::string read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline void write_file(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

/// Three levels of forced inlining, a class, a template, a lambda, a local function and code split off as cold.
inline constexpr const char* kProgramSource = R"(
// Without headers: they take ten times as long to compile as the rest.
extern "C" int puts(const char*);
extern "C" [[noreturn]] void abort();
namespace shop {
__attribute__((always_inline)) inline int innermost(int value) {
  volatile int slot = value * 3;
  for (int i = 0; i < 2; ++i) slot = slot ^ (slot >> i); return slot + 1;
}
__attribute__((always_inline)) inline int middle(int value) {
  int sum = 0;
  for (int i = 0; i < value; ++i) {
    sum += innermost(i);
  }
  return sum;
}
__attribute__((always_inline)) inline int outer(int value) {
  if (value > 3) return middle(value);
  return innermost(value);
}
struct Basket {
  explicit Basket(int size) : items{size, size} {}
  __attribute__((noinline)) int total(int extra) const;
  int items[8];
};
int Basket::total(int extra) const {
  int sum = outer(extra);
  for (int item : items) sum += item;
  if (sum == 12345) {
    puts("rare");
    abort();
  }
  return sum;
}
template <typename T>
__attribute__((noinline)) T twice(T value) {
  auto add = [](T a) __attribute__((noinline)) { return a + outer(static_cast<int>(a)); };
  return add(value) + add(value + 1);
}
}
static __attribute__((noinline)) int local_helper(int count) { return shop::twice(count) + shop::outer(count); }
extern "C" __attribute__((noinline)) int plain_c(int count) { return local_helper(count) * 2; }
int main(int argc, char**) {
  shop::Basket basket(argc * 5);
  return (plain_c(argc) + basket.total(argc + 4)) & 1;
}
)";

/// The program above, compiled; all tests of a suite share it and make their copies.
class Program {
 public:
  explicit Program(const std::string& flags = "-gdwarf-5") {
    write_file(directory_ / "shop.cpp", kProgramSource);
    // From a directory beside the source, as build systems do it: the paths in DWARF are relative ones.
    run("mkdir " + directory_ / "build" + " && cd " + directory_ / "build" + " && g++ -O2 -std=c++17 -Wl,--build-id " +
        flags + " ../shop.cpp -o ../full");
  }

  const TempDirectory& directory() const { return directory_; }
  std::string path() const { return directory_ / "full"; }

  /// Address of a function by the mangled name, from nm.
  std::uint64_t address_of(const std::string& name) const {
    const std::string text = output_of("nm " + path() + " | awk '$3==\"" + name + "\"{print $1}'");
    return std::strtoull(text.c_str(), nullptr, 16);
  }

  /// Addresses of all instructions of the functions in the source, without the padding between them.
  std::vector<std::uint64_t> instructions() const {
    std::vector<std::uint64_t> addresses;
    for (const auto& [begin, end] : functions()) {
      const std::string text = output_of("objdump -d --no-show-raw-insn --start-address=" + std::to_string(begin) +
                                         " --stop-address=" + std::to_string(end) + " " + path() +
                                         " | sed -n 's/^ *\\([0-9a-f]*\\):\\t.*/\\1/p'");
      std::istringstream lines(text);
      for (std::string line; std::getline(lines, line);) addresses.push_back(std::stoull(line, nullptr, 16));
    }
    return addresses;
  }

 private:
  std::vector<std::pair<std::uint64_t, std::uint64_t>> functions() const {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
    std::istringstream lines(
        output_of("nm -S " + path() + " | grep -E ' [tTwW] (main|plain_c|.*shop|.*local_helper)'"));
    for (std::string line; std::getline(lines, line);) {
      const std::uint64_t begin = std::stoull(line, nullptr, 16);
      ranges.emplace_back(begin, begin + std::stoull(line.substr(17), nullptr, 16));
    }
    return ranges;
  }

  TempDirectory directory_;
};

}  // namespace tracer::symbols
