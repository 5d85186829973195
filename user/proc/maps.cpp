// SPDX-License-Identifier: Apache-2.0
#include "proc/maps.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

#include "proc/process.h"

namespace tracer::proc {
namespace {

// The list may change between two reads: a buffer that takes most lists at once, as far as the kernel lets us.
constexpr std::size_t kFirstBuffer = 256 * 1024;

/// Takes a number up to `terminator` from the front of `line`.
template <typename T>
bool take_number(std::string_view& line, int base, char terminator, T* out) {
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), *out, base);
  if (error != std::errc() || end == line.data() + line.size() || *end != terminator) return false;
  line.remove_prefix(static_cast<std::size_t>(end - line.data()) + 1);
  return true;
}

/// Takes the four letters of the access rights and the space behind them.
bool take_rights(std::string_view& line, Mapping* out) {
  constexpr std::array<std::string_view, 5> kLetters{"r-", "w-", "x-", "ps", " "};
  if (line.size() < kLetters.size()) return false;
  for (std::size_t i = 0; i < kLetters.size(); ++i) {
    if (kLetters[i].find(line[i]) == std::string_view::npos) return false;
  }
  out->readable = line[0] == 'r';
  out->writable = line[1] == 'w';
  out->executable = line[2] == 'x';
  line.remove_prefix(kLetters.size());
  return true;
}

/// The kernel writes a newline in a path as \012 and nothing else so, not even the backslash (show_map_vma() in
/// fs/proc/task_mmu.c): "\040" is four characters of the path.
std::string unescape(std::string_view text) {
  constexpr std::string_view kNewline = "\\012";
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = text.find(kNewline); at != std::string_view::npos; at = text.find(kNewline)) {
    out.append(text.substr(0, at)).push_back('\n');
    text.remove_prefix(at + kNewline.size());
  }
  return out.append(text);
}

Error corrupt(std::string_view line) {
  return Error(ErrorKind::kCorrupt, fmt::format("not a line of /proc/PID/maps: '{}'", line.substr(0, 100)));
}

}  // namespace

Result<Mapping> parse_maps_line(std::string_view line) {
  const std::string_view whole = line;
  Mapping mapping;
  if (!take_number(line, 16, '-', &mapping.start) || !take_number(line, 16, ' ', &mapping.end) ||
      mapping.end <= mapping.start || !take_rights(line, &mapping) ||
      !take_number(line, 16, ' ', &mapping.file_offset) || !take_number(line, 16, ':', &mapping.device_major) ||
      !take_number(line, 16, ' ', &mapping.device_minor))
    return corrupt(whole);
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), mapping.inode, 10);
  if (error != std::errc()) return corrupt(whole);
  line.remove_prefix(static_cast<std::size_t>(end - line.data()));
  if (!line.empty() && line.front() != ' ') return corrupt(whole);
  while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  constexpr std::string_view kDeleted = " (deleted)";
  mapping.deleted = line.ends_with(kDeleted);
  if (mapping.deleted) line.remove_suffix(kDeleted.size());
  mapping.path = unescape(line);
  return mapping;
}

Result<std::vector<Mapping>> parse_maps(std::string_view text) {
  std::vector<Mapping> mappings;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    Result<Mapping> mapping = parse_maps_line(text.substr(0, end));
    if (!mapping) return std::move(mapping).error();
    mappings.push_back(std::move(*mapping));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return mappings;
}

namespace {

/// The text of the list; empty without an address space.
Result<std::string> read_list(pid_t pid, const std::string& proc_root) {
  const std::string path = fmt::format("{}/{}/maps", proc_root, pid);
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) {
    if (errno == ENOENT || errno == ESRCH) return Error(ErrorKind::kGone, fmt::format("process {} has exited", pid));
    return Error::from_errno(errno, "cannot read " + path);
  }
  std::string text(kFirstBuffer, '\0');
  std::size_t size = 0;
  for (;;) {
    const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      if (errno == ESRCH) return Error(ErrorKind::kGone, fmt::format("process {} has exited", pid));
      return Error::from_errno(errno, "cannot read " + path);
    }
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
    if (size == text.size()) text.resize(2 * text.size());
  }
  text.resize(size);
  return text;
}

std::string map_file(pid_t pid, const Mapping& mapping, const std::string& proc_root) {
  return fmt::format("{}/{}/map_files/{:x}-{:x}", proc_root, pid, mapping.start, mapping.end);
}

Error map_file_error(int errno_value, pid_t pid, const Mapping& mapping) {
  if (errno_value == ENOENT || errno_value == ESRCH)
    return Error(ErrorKind::kGone, fmt::format("process {} does not map {} any more", pid, mapping.path));
  return Error::from_errno(errno_value,
                           fmt::format("cannot open {} through the mapping of process {}", mapping.path, pid),
                           "needs root, or CAP_CHECKPOINT_RESTORE and CAP_SYS_PTRACE");
}

/// Calls `use` with the path of the file that a process maps, until it returns true; false with errno set when it never
/// does.
template <typename Use>
bool try_map_file(pid_t pid, const Mapping& mapping, const std::string& proc_root, Use&& use) {
  if (use(map_file(pid, mapping, proc_root).c_str())) return true;
  const int errno_value = errno;
  const pid_t thread = errno_value == ENOENT ? thread_with_memory(pid, proc_root) : pid;
  if (thread != pid) return use(map_file(thread, mapping, proc_root).c_str());
  errno = errno_value;
  return false;
}

}  // namespace

Result<std::vector<Mapping>> read_maps(pid_t pid, const std::string& proc_root) {
  Result<std::string> text = read_list(pid, proc_root);
  if (!text) return std::move(text).error();
  const pid_t thread = text->empty() ? thread_with_memory(pid, proc_root) : pid;
  if (thread != pid) text = read_list(thread, proc_root);
  if (!text) return std::move(text).error();
  return parse_maps(*text);
}

Result<UniqueFd> open_mapped_file(pid_t pid, const Mapping& mapping, const std::string& proc_root) {
  UniqueFd file;
  const bool is_open = try_map_file(pid, mapping, proc_root, [&](const char* path) {
    file.reset(::open(path, O_RDONLY | O_CLOEXEC));
    return file.valid();
  });
  if (is_open) return file;
  return map_file_error(errno, pid, mapping);
}

Result<FileStamp> stamp_mapped_file(pid_t pid, const Mapping& mapping, const std::string& proc_root) {
  struct stat status {};
  const bool is_there =
      try_map_file(pid, mapping, proc_root, [&](const char* path) { return ::stat(path, &status) == 0; });
  if (!is_there) return map_file_error(errno, pid, mapping);
  FileStamp stamp;
  stamp.device = status.st_dev;
  stamp.inode = status.st_ino;
  stamp.size_bytes = static_cast<std::uint64_t>(status.st_size);
  stamp.links = status.st_nlink;
  stamp.changed_ns = static_cast<std::uint64_t>(status.st_ctim.tv_sec) * 1'000'000'000U +
                     static_cast<std::uint64_t>(status.st_ctim.tv_nsec);
  return stamp;
}

}  // namespace tracer::proc
