// SPDX-License-Identifier: Apache-2.0
#include "session/command.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

namespace tracer::session {
namespace {

/// In the child, between fork and exec: only what is async-signal-safe.
[[noreturn]] void run_child(int go, int failed, char* const* arguments) {
  ::prctl(PR_SET_PDEATHSIG, SIGCONT);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::signal(SIGINT, SIG_DFL);
  char byte = 0;
  if (::read(go, &byte, 1) != 1) ::_exit(125);
  ::execvp(arguments[0], arguments);
  const int error = errno;
  if (::write(failed, &error, sizeof(error)) != sizeof(error)) ::_exit(126);
  ::_exit(127);
}

Result<void> make_pipe(UniqueFd* read_end, UniqueFd* write_end) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Error::from_errno(errno, "cannot make a pipe");
  read_end->reset(ends[0]);
  write_end->reset(ends[1]);
  return {};
}

}  // namespace

Result<Command> Command::start(const std::vector<std::string>& arguments) {
  UniqueFd go_read, go_write, failed_read, failed_write;
  if (Result<void> made = make_pipe(&go_read, &go_write); !made) return std::move(made).error();
  if (Result<void> made = make_pipe(&failed_read, &failed_write); !made) return std::move(made).error();
  std::vector<char*> pointers;
  for (const std::string& argument : arguments) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid < 0) return Error::from_errno(errno, "cannot fork");
  if (pid == 0) {
    go_write.reset();
    run_child(go_read.get(), failed_write.get(), pointers.data());
  }
  return Command(pid, std::move(go_write), std::move(failed_read));
}

Command::~Command() {
  if (pid_ <= 0 || !go_.valid()) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

Result<void> Command::release() {
  const char byte = 1;
  if (::write(go_.get(), &byte, 1) != 1) return Error::from_errno(errno, "cannot start the command");
  go_.reset();
  int error = 0;
  ssize_t got = 0;
  do {
    got = ::read(failed_.get(), &error, sizeof(error));
  } while (got < 0 && errno == EINTR);
  failed_.reset();
  if (got != sizeof(error)) return {};
  ::waitpid(pid_, nullptr, 0);
  return Error::from_errno(error, "cannot run the command",
                           error == ENOENT ? "no such program; check the name and PATH (sudo has a PATH of its own)"
                                           : "the file is no program that may be executed");
}

bool Command::try_wait(int* status) { return ::waitpid(pid_, status, WNOHANG) == pid_; }

int exit_status_of(int wait_status) {
  if (WIFEXITED(wait_status)) return WEXITSTATUS(wait_status);
  return 128 + WTERMSIG(wait_status);
}

}  // namespace tracer::session
