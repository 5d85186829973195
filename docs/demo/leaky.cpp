// SPDX-License-Identifier: Apache-2.0
// A small server whose session cache never forgets: about 100 KB/s are lost, in the middle of healthy traffic.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <unordered_map>

namespace {

struct Session {
  char* user_name;
  char* token;
  unsigned requests;
};

/// The cache: sessions are added at a login and looked up at each request. A logout should remove them; nothing does.
std::unordered_map<unsigned, Session> sessions;

// NOLINTBEGIN(cppcoreguidelines-no-malloc): a C-style interface, as many caches in the field have.
[[gnu::noinline]] char* copy_name(const std::string& name) {
  auto* copy = static_cast<char*>(std::malloc(name.size() + 1));
  if (copy == nullptr) std::abort();
  return std::strcpy(copy, name.c_str());
}

[[gnu::noinline]] char* make_token(unsigned id) {
  constexpr std::size_t kTokenBytes = 768;
  auto* token = static_cast<char*>(std::malloc(kTokenBytes));
  if (token == nullptr) std::abort();
  std::snprintf(token, kTokenBytes, "token-%08x", id * 2654435761U);
  return token;
}

[[gnu::noinline]] void render_page(const Session& session) {
  constexpr std::size_t kPageBytes = 4096;
  auto* page = static_cast<char*>(std::malloc(kPageBytes));
  if (page == nullptr) std::abort();
  std::snprintf(page, kPageBytes, "<p>Hello %s, request %u</p>", session.user_name, session.requests);
  std::free(page);
}
// NOLINTEND(cppcoreguidelines-no-malloc)

[[gnu::noinline]] Session& remember_session(unsigned id) {
  Session& session = sessions[id];
  session.user_name = copy_name("user-" + std::to_string(id) + std::string(100, '.'));
  session.token = make_token(id);
  return session;
}

/// Each tenth request is a login, the others belong to the last session.
[[gnu::noinline]] void handle_request(unsigned number) {
  Session& session = number % 10 == 0 ? remember_session(number) : sessions.at(number - number % 10);
  ++session.requests;
  render_page(session);
}

}  // namespace

int main() {
  for (unsigned number = 0;; ++number) {
    handle_request(number);
    std::this_thread::sleep_for(std::chrono::microseconds(900));
  }
}
