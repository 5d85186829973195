// SPDX-License-Identifier: Apache-2.0
#include "session/control.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <vector>

namespace tracer::session {
namespace {

namespace fs = std::filesystem;

class ControlTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "tracer-control-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    spec_ = {(directory_ / "ctl").string(), (directory_ / "ack").string()};
    ASSERT_EQ(::mkfifo(spec_.commands.c_str(), 0600), 0);
    ASSERT_EQ(::mkfifo(spec_.answers.c_str(), 0600), 0);
    writer_.reset(::open(spec_.commands.c_str(), O_RDWR | O_NONBLOCK));
    reader_.reset(::open(spec_.answers.c_str(), O_RDWR | O_NONBLOCK));
    Result<Control> opened = Control::open(spec_);
    ASSERT_TRUE(opened.ok());
    control_.emplace(std::move(*opened));
  }
  void TearDown() override { fs::remove_all(directory_); }

  void send(std::string_view bytes) {
    ASSERT_EQ(::write(writer_.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    control_->read([this](std::string_view command) {
      seen_.emplace_back(command);
      return command == "bad" ? Result<void>(Error(ErrorKind::kUsage, "no such thing")) : Result<void>();
    });
  }
  std::string answers() {
    char buffer[4096];
    const ssize_t got = ::read(reader_.get(), buffer, sizeof(buffer));
    return got > 0 ? std::string(buffer, static_cast<std::size_t>(got)) : "";
  }

  fs::path directory_;
  ControlSpec spec_;
  UniqueFd writer_, reader_;
  std::optional<Control> control_;
  std::vector<std::string> seen_;
};

TEST_F(ControlTest, EachCommandIsAnsweredOnce) {
  send("ping\nenable\n");
  EXPECT_EQ(seen_, (std::vector<std::string>{"ping", "enable"}));
  EXPECT_EQ(answers(), "ack\nack\n");
}

TEST_F(ControlTest, ACommandMayComeInPieces) {
  send("pi");
  EXPECT_TRUE(seen_.empty());
  send("ng\ndis");
  EXPECT_EQ(seen_, (std::vector<std::string>{"ping"}));
  send("able\n");
  EXPECT_EQ(seen_.back(), "disable");
}

TEST_F(ControlTest, BlanksAroundItAndEmptyLinesSayNothing) {
  send("\n  ping \r\n\n");
  EXPECT_EQ(seen_, (std::vector<std::string>{"ping"}));
  EXPECT_EQ(answers(), "ack\n");
}

TEST_F(ControlTest, WhatFailsIsAnsweredWithTheReason) {
  send("bad\nping\n");
  EXPECT_EQ(answers(), "error: no such thing\nack\n");
}

TEST_F(ControlTest, AnEndlessLineIsRefusedOnceAndTheNextOneObeyed) {
  for (int i = 0; i < 20; ++i) send(std::string(1000, 'x'));
  EXPECT_EQ(answers(), "error: a command that is too long\n");
  send("xxx\nping\n");
  EXPECT_EQ(seen_, (std::vector<std::string>{"ping"}));
  EXPECT_EQ(answers(), "ack\n");
}

TEST_F(ControlTest, NobodyHasToReadTheAnswers) {
  for (int i = 0; i < 30'000; ++i) send("ping\n");
  EXPECT_EQ(seen_.size(), 30'000U);
}

TEST_F(ControlTest, AWriterThatGoesEndsNothing) {
  writer_.reset();
  writer_.reset(::open(spec_.commands.c_str(), O_WRONLY | O_NONBLOCK));
  send("ping\n");
  EXPECT_EQ(seen_.size(), 1U);
}

TEST_F(ControlTest, AnswersAreOptional) {
  control_.reset();
  Result<Control> opened = Control::open({spec_.commands, ""});
  ASSERT_TRUE(opened.ok());
  control_.emplace(std::move(*opened));
  send("ping\n");
  EXPECT_EQ(seen_.size(), 1U);
  EXPECT_EQ(answers(), "");
}

TEST_F(ControlTest, WhatIsNoFifoIsRefused) {
  const fs::path file = directory_ / "file";
  std::ofstream(file) << "x";
  for (const ControlSpec& spec :
       {ControlSpec{file.string(), ""}, ControlSpec{spec_.commands, file.string()},
        ControlSpec{(directory_ / "none").string(), ""}, ControlSpec{directory_.string(), ""}}) {
    const Result<Control> opened = Control::open(spec);
    ASSERT_FALSE(opened.ok());
    EXPECT_NE(opened.error().hint().find("mkfifo"), std::string::npos);
  }
}

}  // namespace
}  // namespace tracer::session
