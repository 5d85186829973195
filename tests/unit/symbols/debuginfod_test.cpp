// SPDX-License-Identifier: Apache-2.0
#include "symbols/debuginfod.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "program.h"
#include "symbols/symbolizer.h"

namespace tracer::symbols {
namespace {

/// A server of the one kind of page that is asked for, on a port of this machine: a folder is enough.
class Server {
 public:
  explicit Server(const std::string& folder) {
    const std::string log = folder + "/log";
    pid_ = ::fork();
    if (pid_ == 0) {
      ::chdir(folder.c_str());
      const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
      ::dup2(out, STDOUT_FILENO);
      ::dup2(out, STDERR_FILENO);
      ::execl("/usr/bin/python3", "python3", "-u", "-m", "http.server", "--bind", "127.0.0.1", "0", nullptr);
      ::_exit(127);
    }
    for (int i = 0; i < 200 && url_.empty(); ++i) {
      ::usleep(50'000);
      const std::string said = read_file(log);
      const std::size_t begin = said.find("(http://");
      const std::size_t end = said.find("/)", begin);
      if (end != std::string::npos) url_ = said.substr(begin + 1, end - begin - 1);
    }
  }
  ~Server() {
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  const std::string& url() const { return url_; }

 private:
  pid_t pid_ = -1;
  std::string url_;
};

TEST(DebuginfodTest, FetchesLinesOfAStrippedProgramAndAsksAgainAboutWhatItHadAnswered) {
  const Program program;
  const std::string folder = program.directory().path();
  const std::string id = output_of("readelf -n " + program.path() + " | sed -n 's/.*Build ID: //p' | tr -d '\\n'");
  run("cd " + folder + " && mkdir -p buildid/" + id + " && objcopy --only-keep-debug full buildid/" + id +
      "/debuginfo && strip -o stripped full");
  ::setenv("DEBUGINFOD_CACHE_PATH", (folder + "/cache").c_str(), 1);
  const Server server(folder);
  ASSERT_FALSE(server.url().empty());

  Symbolizer symbolizer;
  const std::string path = folder + "/stripped";
  symbolizer.add_module(0, {path, "", UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), ""});
  const std::uint64_t total = program.address_of("_ZNK4shop6Basket5totalEi");
  const std::vector<SourceFrame>& frames = symbolizer.symbolize({0, 0, total, true});
  EXPECT_FALSE(frames.back().named);
  ASSERT_EQ(symbolizer.lacks().size(), 1U);
  EXPECT_EQ(symbolizer.lacks()[0].nameless, 1U);
  EXPECT_NE(symbolizer.lacks()[0].why.find("no debug file"), std::string::npos) << symbolizer.lacks()[0].why;

  auto debuginfod = Debuginfod::open(server.url());
  ASSERT_TRUE(debuginfod) << debuginfod.error().message();
  symbolizer.use(std::move(debuginfod).value());
  const std::vector<SourceFrame>& known = symbolizer.symbolize({0, 0, total, true});
  EXPECT_EQ(&known, &frames);
  EXPECT_EQ(known.back().function, "shop::Basket::total(int) const");
  EXPECT_EQ(known.back().file, folder + "/shop.cpp");
  EXPECT_NE(known.back().line, 0U);
  EXPECT_TRUE(symbolizer.lacks().empty());
}

TEST(DebuginfodTest, SaysThatNoServerHasIt) {
  TempDirectory directory;
  ::setenv("DEBUGINFOD_CACHE_PATH", (directory / "cache").c_str(), 1);
  const Server server(directory.path());
  auto debuginfod = Debuginfod::open(server.url());
  ASSERT_TRUE(debuginfod);
  EXPECT_FALSE((*debuginfod)->find("0123456789abcdef0123456789abcdef01234567", "a program"));
  EXPECT_FALSE((*debuginfod)->find("", "a program"));
}

TEST(DebuginfodTest, WantsToKnowAServer) {
  ::unsetenv("DEBUGINFOD_URLS");
  const auto debuginfod = Debuginfod::open("");
  ASSERT_FALSE(debuginfod);
  EXPECT_NE(debuginfod.error().hint().find("DEBUGINFOD_URLS"), std::string::npos);
}

}  // namespace
}  // namespace tracer::symbols
