// SPDX-License-Identifier: Apache-2.0
#include "symbols/debug_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <lzma.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

namespace tracer::symbols {
namespace {

constexpr const char* kDebugDirectory = "/usr/lib/debug";
// NONBLOCK: a FIFO under the name of a debug file must not stop us.
constexpr int kOpenFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

int open_in_root(const std::string& root, const std::string& path) {
  if (root.empty()) return ::open(path.c_str(), kOpenFlags);
  UniqueFd directory(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return -1;
  open_how how{};
  how.flags = kOpenFlags;
  how.resolve = RESOLVE_IN_ROOT;
  const long fd = syscall(SYS_openat2, directory.get(), path.c_str(), &how, sizeof how);
  if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) return static_cast<int>(fd);
  return ::open((root + path).c_str(), kOpenFlags);  // before Linux 5.6, or a seccomp filter of that time
}

bool is_hex(const std::string& text) { return text.find_first_not_of("0123456789abcdef") == std::string::npos; }

Result<std::uint32_t> crc32_of(int fd) {
  std::vector<std::uint8_t> buffer(256 * 1024);
  std::uint32_t crc = 0;
  for (off_t offset = 0;;) {
    const ssize_t got = pread(fd, buffer.data(), buffer.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error::from_errno(errno, "read of a debug file");
    if (got == 0) return crc;
    crc = lzma_crc32(buffer.data(), static_cast<std::size_t>(got), crc);
    offset += got;
  }
}

Error not_found(const std::string& what) { return Error(ErrorKind::kNotFound, what); }

/// Only with that build id.
Result<ElfFile> open_with_id(const std::string& root, const std::string& path, const std::string& build_id) {
  auto fd = open_below(root, path);
  if (!fd) return std::move(fd).error();
  auto file = ElfFile::open(std::move(fd).value(), ElfFile::Access::kMap);
  if (file && file->build_id() != build_id) return not_found(path + " has another build id");
  return file;
}

Result<ElfFile> open_by_build_id(const std::string& root, const std::string& build_id) {
  return open_with_id(
      root, fmt::format("{}/.build-id/{}/{}.debug", kDebugDirectory, build_id.substr(0, 2), build_id.substr(2)),
      build_id);
}

/// The directory of an open file as the kernel names it, with a slash at the end; empty when it does not.
std::string directory_of(int fd) {
  std::array<char, 4096> path;
  const ssize_t size = ::readlink(fmt::format("/proc/self/fd/{}", fd).c_str(), path.data(), path.size());
  const std::string_view name(path.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  return std::string(name.substr(0, name.find_last_of('/') + 1));
}

Result<ElfFile> open_by_link(const std::string& root, const std::string& path, std::uint32_t wanted_crc) {
  auto fd = open_below(root, path);
  if (!fd) return std::move(fd).error();
  auto crc = crc32_of(fd->get());
  if (!crc) return std::move(crc).error();
  if (*crc != wanted_crc) return not_found(path + " has another checksum");
  return ElfFile::open(std::move(fd).value(), ElfFile::Access::kMap);
}

Result<ElfFile> find_by_build_id(const DebugFileQuery& query) {
  if (query.build_id.size() < 4 || !is_hex(query.build_id)) return not_found("no build id to search by");
  auto file = open_by_build_id(query.root, query.build_id);
  if (file || query.root.empty()) return file;
  return open_by_build_id("", query.build_id);
}

Result<ElfFile> find_by_link(const DebugFileQuery& query) {
  const std::string& name = query.debug_link->name;
  if (name.find('/') != std::string::npos) return not_found("a debug link that is no file name");
  const std::string directory = query.module_path.substr(0, query.module_path.find_last_of('/') + 1);
  if (!directory.starts_with('/')) return not_found("the directory of a module is not known");
  const std::array<std::string, 3> paths = {directory + name, directory + ".debug/" + name,
                                            kDebugDirectory + directory + name};
  for (const std::string& root : {query.root, std::string()}) {
    for (const std::string& path : paths) {
      auto file = open_by_link(root, path, query.debug_link->crc);
      if (file) return file;
    }
    if (query.root.empty()) break;
  }
  return not_found("no debug file " + name);
}

}  // namespace

Result<UniqueFd> open_below(const std::string& root, const std::string& path) {
  UniqueFd fd(open_in_root(root, path));
  if (!fd.valid()) return Error::from_errno(errno, "open of " + root + path);
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) return Error::from_errno(errno, "stat of " + root + path);
  if (!S_ISREG(status.st_mode)) return not_found(root + path + " is no regular file");
  return fd;
}

Result<ElfFile> find_debug_file(const DebugFileQuery& query) {
  auto file = find_by_build_id(query);
  if (file || !query.debug_link) return file;
  return find_by_link(query);
}

Result<ElfFile> find_shared_file(const std::string& root, const ElfFile& debug_file, const std::string& name,
                                 const std::string& build_id) {
  if (auto file = find_by_build_id({"", root, build_id, std::nullopt})) return file;
  const std::string path = name.starts_with('/') ? name : directory_of(debug_file.fd()) + name;
  if (!path.starts_with('/')) return not_found("the directory of a debug file is not known");
  auto file = open_with_id(root, path, build_id);
  if (file || root.empty()) return file;
  return open_with_id("", path, build_id);
}

}  // namespace tracer::symbols
