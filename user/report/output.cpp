// SPDX-License-Identifier: Apache-2.0
#include "report/output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "base/unique_fd.h"
#include "report/text.h"

namespace tracer::report {
namespace {

/// What to do when writing fails; a pipe without a reader needs no advice.
std::string hint_for(int errno_value) {
  if (errno_value == EPIPE) return {};
  return errno_value == ENOSPC || errno_value == EDQUOT ? "make room there, or choose another place with --output"
                                                        : "choose another place with --output";
}

constexpr int kNameAttempts = 16;

/// Writes all of `bytes`; waits when the descriptor was made non-blocking by whoever shares it.
Result<void> write_all(int fd, std::string_view bytes, const std::string& name) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      pollfd ready{fd, POLLOUT, 0};
      if (::poll(&ready, 1, -1) < 0 && errno != EINTR) return Error::from_errno(errno, "cannot wait for " + name);
    } else if (errno != EINTR) {
      return Error::from_errno(errno, "cannot write to " + name, hint_for(errno));
    }
  }
  return {};
}

class StdoutOutput : public Output {
 public:
  Result<void> write(std::string_view bytes) override { return write_all(STDOUT_FILENO, bytes, "standard output"); }
};

/// What has no content that could be replaced as a whole: a device, a FIFO, an inherited descriptor.
class DirectOutput : public FileOutput {
 public:
  DirectOutput(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  Result<void> write(std::string_view bytes) override { return write_all(fd_.get(), bytes, "'" + path_ + "'"); }
  Result<void> commit() override { return {}; }

 private:
  UniqueFd fd_;
  std::string path_;
};

/// Names are relative to the directory's descriptor: a later chdir() or rename of the directory changes nothing.
class ReplacingOutput : public FileOutput {
 public:
  ReplacingOutput(UniqueFd directory, std::string temporary, UniqueFd fd, std::string path)
      : directory_(std::move(directory)),
        temporary_(std::move(temporary)),
        fd_(std::move(fd)),
        path_(std::move(path)) {}

  ~ReplacingOutput() override {
    if (!committed_) ::unlinkat(directory_.get(), temporary_.c_str(), 0);
  }

  Result<void> write(std::string_view bytes) override { return write_all(fd_.get(), bytes, "'" + path_ + "'"); }

  void rename_to(const std::string& path) override { path_ = path; }

  Result<void> commit() override {
    if (committed_) return {};
    // Network file systems report a full disk no earlier than here.
    if (::close(fd_.release()) != 0) return Error::from_errno(errno, "cannot write '" + path_ + "'", hint_for(errno));
    const std::string name(base_name(path_));
    if (::renameat(directory_.get(), temporary_.c_str(), directory_.get(), name.c_str()) != 0)
      return Error::from_errno(errno, "cannot put '" + path_ + "' in place", hint_for(errno));
    committed_ = true;
    return {};
  }

 private:
  UniqueFd directory_;
  std::string temporary_;
  UniqueFd fd_;
  std::string path_;
  bool committed_ = false;
};

/// The descriptor that a name such as /dev/stdout stands for. Opening it by name would start at the beginning of a
/// file that others are writing to.
std::optional<int> inherited_descriptor(std::string_view path) {
  if (path == "/dev/stdout") return STDOUT_FILENO;
  if (path == "/dev/stderr") return STDERR_FILENO;
  for (const std::string_view prefix : {"/dev/fd/", "/proc/self/fd/"}) {
    if (!path.starts_with(prefix)) continue;
    int fd = -1;
    const char* end = path.data() + path.size();
    const auto [rest, error] = std::from_chars(path.data() + prefix.size(), end, fd);
    if (error == std::errc() && rest == end && fd >= 0) return fd;
  }
  return std::nullopt;
}

Result<std::unique_ptr<FileOutput>> direct(int fd, const std::string& path) {
  if (fd < 0) return Error::from_errno(errno, "cannot write to '" + path + "'", hint_for(errno));
  return std::unique_ptr<FileOutput>(std::make_unique<DirectOutput>(UniqueFd(fd), path));
}

std::string temporary_name() {
  std::uint64_t random = 0;
  if (::getrandom(&random, sizeof(random), 0) != sizeof(random)) random = static_cast<std::uint64_t>(::getpid());
  return fmt::format(".tracer-{:016x}.tmp", random);
}

Result<std::unique_ptr<FileOutput>> replacing(const std::string& path) {
  const std::string_view name = base_name(path);
  std::string folder = path.substr(0, path.size() - name.size());
  if (folder.empty()) folder = ".";
  UniqueFd directory(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid())
    return Error::from_errno(errno, "cannot create '" + path + "' in '" + folder + "'", "the directory must exist");
  // With O_EXCL the name is ours alone, and the creation mode honours umask and default ACLs as for any other file.
  for (int attempt = 0; attempt < kNameAttempts; ++attempt) {
    std::string temporary = temporary_name();
    UniqueFd fd(::openat(directory.get(), temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (fd.valid()) {
      return std::unique_ptr<FileOutput>(
          std::make_unique<ReplacingOutput>(std::move(directory), std::move(temporary), std::move(fd), path));
    }
    if (errno != EEXIST) break;
  }
  return Error::from_errno(errno, "cannot create a file in '" + folder + "'",
                           "the report is written beside '" + path + "' first: the directory must be writable");
}

}  // namespace

std::unique_ptr<Output> make_stdout_output() { return std::make_unique<StdoutOutput>(); }

Result<std::unique_ptr<FileOutput>> FileOutput::open(const std::string& path) {
  if (const auto fd = inherited_descriptor(path)) return direct(::fcntl(*fd, F_DUPFD_CLOEXEC, 3), path);
  struct stat status {};
  const bool exists = ::stat(path.c_str(), &status) == 0;
  if (path.empty() || path.ends_with('/') || (exists && S_ISDIR(status.st_mode))) {
    return Error::from_errno(path.empty() ? ENOENT : EISDIR, "cannot write to '" + path + "'",
                             "give the name of a file, for example 'report.ndjson'");
  }
  if (exists && !S_ISREG(status.st_mode)) return direct(::open(path.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC), path);
  return replacing(path);
}

}  // namespace tracer::report
