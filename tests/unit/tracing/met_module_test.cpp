// SPDX-License-Identifier: Apache-2.0
#include "tracing/met_module.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>

namespace tracer::tracing {
namespace {

/// As the kernel half writes it: names from the file up, each with its zero byte.
tr_module module_with(const std::vector<std::string>& parts) {
  tr_module module{};
  module.key.inode = 1234;
  std::size_t at = 0;
  for (const std::string& part : parts) {
    std::memcpy(module.path + at, part.c_str(), part.size() + 1);
    at += part.size() + 1;
    ++module.path_parts;
  }
  return module;
}

TEST(MetModuleTest, ReadsThePathFromTheRootDown) {
  const tr_module module = module_with({"libfoo.so", "plugins", "opt"});
  EXPECT_EQ(path_in_file_system(module), "/opt/plugins/libfoo.so");
  EXPECT_EQ(name_of(module), "libfoo.so");
}

TEST(MetModuleTest, APathThatMayHaveBeenCutIsNone) {
  EXPECT_EQ(path_in_file_system(module_with({"a.so", std::string(63, 'x'), "opt"})), "");
  EXPECT_EQ(path_in_file_system(module_with(std::vector<std::string>(16, "a"))), "");
  EXPECT_EQ(path_in_file_system(module_with(std::vector<std::string>(4, std::string(50, 'x')))), "");
  EXPECT_EQ(name_of(module_with({"a.so", std::string(63, 'x')})), "a.so");
}

TEST(MetModuleTest, AFileWithoutANameIsNamedByItsInode) {
  EXPECT_EQ(name_of(tr_module{}), "inode 0");
  EXPECT_EQ(name_of(module_with({""})), "inode 1234");
  EXPECT_TRUE(paths_to_try(tr_module{}).empty());
}

TEST(MetModuleTest, GarbageDoesNotLeadOutOfTheEntry) {
  tr_module module{};
  std::memset(module.path, 'x', sizeof(module.path));
  module.path_parts = 1000;
  EXPECT_EQ(path_in_file_system(module), "");
  EXPECT_EQ(name_of(module), "inode 0");
}

TEST(MetModuleTest, LooksWhereTheProcessAndTheTracerSeeTheFileSystem) {
  tr_module module = module_with({"true", "bin"});
  module.tgid = static_cast<std::uint32_t>(::getpid());
  EXPECT_TRUE(paths_to_try(module).empty()) << "no file system has this device";
}

}  // namespace
}  // namespace tracer::tracing
