// SPDX-License-Identifier: Apache-2.0
#include "symbols/debuginfod.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/clock.h"
#include "base/log.h"

namespace tracer::symbols {
namespace {

constexpr const char* kLibrary = "libdebuginfod.so.1";
constexpr std::uint64_t kPatienceNs = 1'000'000'000;

/// What is asked for, for the note; the library's client has room for one pointer.
struct Question {
  const std::string* whose;
  std::uint64_t begin_ns;
  bool is_told = false;
};

}  // namespace

struct Debuginfod::Library {
  using Progress = int (*)(debuginfod_client*, long, long);

  void* handle = nullptr;
  debuginfod_client* (*begin)() = nullptr;
  void (*end)(debuginfod_client*) = nullptr;
  int (*find)(debuginfod_client*, const unsigned char*, int, char**) = nullptr;
  void (*set_progress)(debuginfod_client*, Progress) = nullptr;
  void (*set_data)(debuginfod_client*, void*) = nullptr;
  void* (*get_data)(debuginfod_client*) = nullptr;

  template <typename Function>
  bool look_up(const char* name, Function* function) {
    *function = reinterpret_cast<Function>(::dlsym(handle, name));
    return *function != nullptr;
  }
  bool look_up_all() {
    return look_up("debuginfod_begin", &begin) && look_up("debuginfod_end", &end) &&
           look_up("debuginfod_find_debuginfo", &find) && look_up("debuginfod_set_progressfn", &set_progress) &&
           look_up("debuginfod_set_user_data", &set_data) && look_up("debuginfod_get_user_data", &get_data);
  }
};

namespace {

void* (*g_get_data)(debuginfod_client*) = nullptr;

int tell(debuginfod_client* client, long, long) {
  auto* question = static_cast<Question*>(g_get_data(client));
  if (question == nullptr || question->is_told || monotonic_ns() - question->begin_ns < kPatienceNs) return 0;
  question->is_told = true;
  if (::isatty(STDERR_FILENO) != 0) log::info("waiting for debug information of {}", *question->whose);
  return 0;
}

}  // namespace

Result<std::unique_ptr<Debuginfod>> Debuginfod::open(const std::string& urls) {
  if (!urls.empty()) ::setenv("DEBUGINFOD_URLS", urls.c_str(), 1);
  const char* known = std::getenv("DEBUGINFOD_URLS");
  if (known == nullptr || *known == '\0')
    return Error(ErrorKind::kUsage, "--debuginfod: no server is known")
        .with_hint("--debuginfod=https://debuginfod.debian.net, or set DEBUGINFOD_URLS");
  ::setenv("DEBUGINFOD_TIMEOUT", "5", 0);
  ::setenv("DEBUGINFOD_MAXTIME", "60", 0);
  auto library = std::make_unique<Library>();
  library->handle = ::dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library->handle == nullptr || !library->look_up_all())
    return Error(ErrorKind::kNotFound, std::string("--debuginfod: cannot load ") + kLibrary)
        .with_hint("install the package libdebuginfod1");
  g_get_data = library->get_data;
  std::unique_ptr<Debuginfod> made(new Debuginfod(std::move(library)));
  if (made->client_ == nullptr) return Error(ErrorKind::kUnsupported, "--debuginfod: libdebuginfod does not start");
  return made;
}

Debuginfod::Debuginfod(std::unique_ptr<Library> library) : library_(std::move(library)) {
  client_ = library_->begin();
  if (client_ != nullptr) library_->set_progress(client_, tell);
}

// The library stays loaded: the threads and caches of what it is built on do not like to be unloaded.
Debuginfod::~Debuginfod() {
  if (client_ != nullptr) library_->end(client_);
}

Result<UniqueFd> Debuginfod::find(const std::string& build_id, const std::string& whose) {
  if (build_id.empty()) return Error(ErrorKind::kNotFound, "the module has no build id");
  Question question{&whose, monotonic_ns()};
  library_->set_data(client_, &question);
  // With a length of 0 the id is text.
  const int fd = library_->find(client_, reinterpret_cast<const unsigned char*>(build_id.c_str()), 0, nullptr);
  library_->set_data(client_, nullptr);
  if (fd < 0) return Error::from_errno(-fd, "no server has " + build_id);
  return UniqueFd(fd);
}

}  // namespace tracer::symbols
