// SPDX-License-Identifier: Apache-2.0
#include "session/control.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/log.h"

namespace tracer::session {
namespace {

constexpr std::size_t kLongestCommand = 256;

/// For reading and writing, whichever way it is used: then a FIFO needs no other end to be opened, and one that comes
/// and goes ends nothing.
Result<UniqueFd> open_fifo(const std::string& path) {
  UniqueFd fifo(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  const std::string hint = "make it with: mkfifo " + path;
  if (!fifo.valid())
    return Error(ErrorKind::kUsage, fmt::format("--control: cannot open {}: {}", path, std::strerror(errno)), hint);
  struct stat status {};
  if (::fstat(fifo.get(), &status) != 0 || !S_ISFIFO(status.st_mode))
    return Error(ErrorKind::kUsage, fmt::format("--control: {} is not a FIFO", path), hint);
  return fifo;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank(" \t\r\0", 4);
  const std::size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

}  // namespace

Result<Control> Control::open(const ControlSpec& spec) {
  Control control;
  Result<UniqueFd> commands = open_fifo(spec.commands);
  if (!commands) return std::move(commands).error();
  control.commands_ = std::move(*commands);
  if (spec.answers.empty()) return control;
  Result<UniqueFd> answers = open_fifo(spec.answers);
  if (!answers) return std::move(answers).error();
  control.answers_ = std::move(*answers);
  return control;
}

void Control::read(const std::function<Result<void>(std::string_view command)>& handle) {
  std::array<char, 4096> buffer{};
  for (ssize_t got = 0; (got = ::read(commands_.get(), buffer.data(), buffer.size())) > 0;)
    pending_.append(buffer.data(), static_cast<std::size_t>(got));
  for (std::size_t end = 0; (end = pending_.find('\n')) != std::string::npos;) {
    const std::string line = pending_.substr(0, end);
    pending_.erase(0, end + 1);
    const std::string_view command = trim(line);
    if (std::exchange(is_skipping_, false) || command.empty()) continue;
    answer(handle(command));
  }
  if (pending_.size() <= kLongestCommand) return;
  if (!is_skipping_) answer(Error(ErrorKind::kUsage, "a command that is too long"));
  is_skipping_ = true;
  pending_.clear();
}

void Control::answer(const Result<void>& result) {
  if (!result) log::info("control: {}", result.error().message());
  if (!answers_.valid()) return;
  const std::string line = result ? "ack\n" : fmt::format("error: {}\n", result.error().message());
  // Nobody reads: the FIFO is full. The tracer waits for no one.
  if (::write(answers_.get(), line.data(), line.size()) < 0)
    log::verbose("control: an answer could not be given: {}", Error::from_errno(errno, "").message());
}

}  // namespace tracer::session
