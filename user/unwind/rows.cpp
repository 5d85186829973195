// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>

#include "unwind/frame_entries.h"
#include "unwind/table.h"

namespace tracer::unwind {
namespace {

// Functions begin at multiples of 16. The padding in front of the next one keeps the rule of the last.
constexpr std::uint64_t kMostPadding = 16;

// mov $15,%rax; syscall: leaves a signal handler (rt_sigreturn). The stack pointer is then at the ucontext, whoever
// does it; C libraries other than glibc have no call frame information for theirs.
constexpr std::array<std::uint8_t, 9> kSigreturn{0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05};
constexpr std::size_t kSigreturnSize = kSigreturn.size();
constexpr std::size_t kRareByte = 1;  ///< index of the one that is looked for first

/// Where that is from `from` on; the size when it is nowhere. Old linkers put all constants of a file into the segment
/// of its code, so there may be much to search; this is several times faster than memmem().
std::size_t find_sigreturn(std::span<const std::byte> code, std::size_t from) {
  while (from + kSigreturnSize <= code.size()) {
    const std::size_t last = code.size() - kSigreturnSize;
    const void* rare = std::memchr(code.data() + from + kRareByte, kSigreturn[kRareByte], last - from + 1);
    if (rare == nullptr) break;
    const std::byte* found = static_cast<const std::byte*>(rare) - kRareByte;
    from = static_cast<std::size_t>(found - code.data());
    if (std::memcmp(found, kSigreturn.data(), kSigreturnSize) == 0) return from;
    ++from;
  }
  return code.size();
}

// mov %rbx,%rsp; mov (%rsp),%rdi; test %rdi,%rdi: how glibc's __start_context begins, which no code calls and whose
// call frame information says nothing of that.
constexpr std::array<std::uint8_t, 10> kStartContext{0x48, 0x89, 0xdc, 0x48, 0x8b, 0x3c, 0x24, 0x48, 0x85, 0xff};

// Memory for so many rows at most is asked for ahead of knowing how many there are: 16 MiB, not touched before use.
constexpr std::size_t kMostReserved = 1 << 20;
constexpr std::size_t kBytesPerRow = 6;  ///< of call frame information, usually

/// Rows of one function among those of all.
struct FunctionRows {
  std::uint64_t start = 0;  ///< offset in the file
  std::uint64_t end = 0;
  std::size_t first = 0;
  std::size_t count = 0;
};

/// The rows of all functions, in the order of the section.
struct Functions {
  std::vector<FunctionRows> functions;
  std::vector<Row> rows;
};

/// Where in the file the code is; cut off at the end of its segment. False: in no executable one.
bool find_code(const std::vector<Piece>& executable, const FunctionEntry& function, FunctionRows* found) {
  for (const Piece& piece : executable) {
    const std::uint64_t skipped = function.start - piece.address;
    if (skipped >= piece.size) continue;
    found->start = piece.offset + skipped;
    found->end = found->start + std::min(function.end - function.start, piece.size - skipped);
    return true;
  }
  return false;
}

Functions read_functions(const ElfView& elf, const FrameSection& section) {
  Functions read;
  read.rows.reserve(std::min(section.bytes.size() / kBytesPerRow, kMostReserved));
  FrameProgram program(section);
  FrameEntries entries(section, &program);
  FunctionEntry function;
  while (entries.next(&function)) {
    FunctionRows found;
    if (!find_code(elf.executable(), function, &found)) continue;
    function.end = function.start + (found.end - found.start);
    found.first = read.rows.size();
    program.run(function, found.start, &read.rows);
    found.count = read.rows.size() - found.first;
    read.functions.push_back(found);
  }
  return read;
}

/// By ascending start. Of functions with the same start the first of the section is kept.
void sort_functions(std::vector<FunctionRows>* functions) {
  const auto by_start = [](const FunctionRows& a, const FunctionRows& b) {
    return a.start != b.start ? a.start < b.start : a.first < b.first;
  };
  if (!std::ranges::is_sorted(*functions, by_start)) std::ranges::sort(*functions, by_start);
  const auto repeated = std::ranges::unique(*functions, {}, &FunctionRows::start);
  functions->erase(repeated.begin(), repeated.end());
}

/// Puts the rows of a file together, from its begin to its end.
class RowWriter {
 public:
  RowWriter(const ElfView& elf, std::size_t row_count) : elf_(elf) { rows_.reserve(row_count); }

  /// Of functions that overlap, the one that begins later holds from there on.
  void write_function(const FunctionRows& function, const Functions& all) {
    const Row* row = all.rows.data() + function.first;
    write_gap(function.start);
    // makecontext() has the coroutine return to where such a function begins, and a return address is looked up by the
    // byte before it.
    const bool is_outermost = function.count > 0 && row->rule.cfa == TR_CFA_END;
    if (function.start > end_ && (is_outermost || starts_next_context(function))) write(function.start - 1, TR_CFA_END);
    for (const Row* end = row + function.count; row != end; ++row) write(*row);
    end_ = function.end;
  }

  std::vector<Row> finish() && {
    write_gap(std::numeric_limits<std::uint64_t>::max());
    return std::move(rows_);
  }

 private:
  bool starts_next_context(const FunctionRows& function) const {
    if (function.end - function.start < kStartContext.size()) return false;
    const std::span<const std::byte> code = elf_.bytes({function.start, 0, kStartContext.size()});
    return code.size() == kStartContext.size() && std::memcmp(code.data(), kStartContext.data(), code.size()) == 0;
  }

  /// From the end of what was written up to `next`, where something begins.
  void write_gap(std::uint64_t next) {
    if (next <= end_) return;
    if (next - end_ > kMostPadding && !rows_.empty()) write(end_, TR_CFA_NONE);
    if (next - end_ < kSigreturnSize) return;
    for (const Piece& piece : elf_.executable()) {
      const std::uint64_t from = std::max(end_, piece.offset);
      const std::uint64_t to = std::min(next, piece.offset + piece.size);
      if (from < to) write_trampolines({from, 0, to - from});
    }
  }

  void write_trampolines(const Piece& code) {
    const std::span<const std::byte> bytes = elf_.bytes(code);
    for (std::size_t at = find_sigreturn(bytes, 0); at < bytes.size();
         at = find_sigreturn(bytes, at + kSigreturnSize)) {
      const std::uint64_t offset = code.offset + at;
      // A return address is looked up by the byte before it, which glibc covers for the same reason.
      write(offset == 0 ? 0 : offset - 1, TR_CFA_SIGNAL);
      write(offset + kSigreturnSize, TR_CFA_NONE);
    }
  }

  void write(std::uint64_t offset, tr_cfa cfa) {
    Row row{offset, {}};
    row.rule.cfa = cfa;
    write(row);
  }

  /// What comes later replaces what there is at or behind its place.
  void write(const Row& row) {
    while (!rows_.empty() && rows_.back().offset >= row.offset) rows_.pop_back();
    const bool is_new =
        rows_.empty() || std::bit_cast<std::uint64_t>(rows_.back().rule) != std::bit_cast<std::uint64_t>(row.rule);
    if (is_new) rows_.push_back(row);
  }

  const ElfView& elf_;
  std::vector<Row> rows_;
  std::uint64_t end_ = 0;
};

std::vector<Row> put_together(const ElfView& elf, Functions read) {
  sort_functions(&read.functions);
  RowWriter writer(elf, read.rows.size());
  for (const FunctionRows& function : read.functions) writer.write_function(function, read);
  return std::move(writer).finish();
}

}  // namespace

Result<std::vector<Row>> read_rows(std::span<const std::byte> file) {
  const Result<ElfView> elf = ElfView::of(file);
  if (!elf) return elf.error();
  Functions read;
  if (const auto section = find_eh_frame(*elf)) read = read_functions(*elf, *section);
  if (read.functions.empty()) {
    if (const auto section = find_debug_frame(*elf)) read = read_functions(*elf, *section);
  }
  return put_together(*elf, std::move(read));
}

}  // namespace tracer::unwind
