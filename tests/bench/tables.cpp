// SPDX-License-Identifier: Apache-2.0
// Prints what the unwind tables of ELF files cost: rows, rules, bytes, and the time to read and build them.
// usage: bench_tables [FILE…]; without one, some large libraries as far as this machine has them.

#include <fcntl.h>
#include <fmt/format.h>
#include <glob.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "unwind/file_bytes.h"
#include "unwind/table.h"

namespace tracer::unwind {
namespace {

constexpr int kRounds = 5;
constexpr std::array kUsual{
    "/lib/x86_64-linux-gnu/libc.so.6",        "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
    "/usr/lib/x86_64-linux-gnu/libLLVM-*.so", "/usr/lib/llvm-*/lib/libLLVM.so",
    "/usr/lib/jvm/*/lib/server/libjvm.so",
};

/// The files that match; the pattern itself when none does.
std::vector<std::string> matches(const char* pattern) {
  glob_t found{};
  ::glob(pattern, GLOB_NOCHECK, nullptr, &found);
  std::vector<std::string> paths(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  return paths;
}

std::vector<std::string> usual_files() {
  std::vector<std::string> paths;
  for (const char* pattern : kUsual) {
    for (std::string& path : matches(pattern)) paths.push_back(std::move(path));
  }
  return paths;
}

struct Measured {
  std::size_t rows = 0;
  std::size_t rules = 0;
  std::size_t bucket_bytes = 0;
  double rows_ms = 0;
  double table_ms = 0;
};

double since_ms(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

Result<Measured> measure_once(std::span<const std::byte> file) {
  Rules rules;
  auto start = std::chrono::steady_clock::now();
  const Result<std::vector<Row>> rows = read_rows(file);
  if (!rows) return rows.error();
  const double rows_ms = since_ms(start);
  start = std::chrono::steady_clock::now();
  const Result<Table> table = build_table(*rows, rules);
  if (!table) return table.error();
  if (table->words.empty()) return Error(ErrorKind::kNotFound, "no call frame information");
  return Measured{table->row_count(), rules.all().size(), std::size_t{4} * (table->bucket_count + 1), rows_ms,
                  since_ms(start)};
}

Result<Measured> measure(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return Error(ErrorKind::kNotFound, "missing");
  const Result<FileBytes> file = FileBytes::read(fd.get());
  if (!file) return file.error();
  std::vector<Measured> rounds;
  for (int i = 0; i < kRounds; ++i) {
    Result<Measured> round = measure_once(file->bytes());
    if (!round) return round;
    rounds.push_back(*round);
  }
  std::ranges::nth_element(rounds, rounds.begin() + kRounds / 2, {},
                           [](const Measured& round) { return round.rows_ms + round.table_ms; });
  return rounds[kRounds / 2];
}

void print(const std::string& path) {
  const Result<Measured> measured = measure(path);
  if (!measured) {
    fmt::print("{}: {}\n", path, measured.error().message());
    return;
  }
  const double total_ms = measured->rows_ms + measured->table_ms;
  fmt::print("{}: {} rows, {} rules, {} + {} bytes, {:.1f} + {:.1f} ms, {:.1f} M rows/s\n", path, measured->rows,
             measured->rules, 4 * measured->rows, measured->bucket_bytes, measured->rows_ms, measured->table_ms,
             static_cast<double>(measured->rows) / total_ms / 1000);
}

}  // namespace
}  // namespace tracer::unwind

int main(int argc, char** argv) {
  const std::vector<std::string> paths =
      argc > 1 ? std::vector<std::string>(argv + 1, argv + argc) : tracer::unwind::usual_files();
  fmt::print("file: rows, rules, bytes of rows + of buckets, ms to read + to build (median of {})\n",
             tracer::unwind::kRounds);
  for (const std::string& path : paths) tracer::unwind::print(path);
}
