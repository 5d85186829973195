// SPDX-License-Identifier: Apache-2.0
#include "proc/container.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

namespace tracer::proc {
namespace {

const std::string kId = "3f2a9c1b2d4e5f60718293a4b5c6d7e8f90123456789abcdef0123456789abcd";
const std::string kOther = "00000000111111112222222233333333444444445555555566666666777777aa";

TEST(ContainerTest, FindsTheIdInTheNamesOfEveryRuntime) {
  for (const std::string& path : {
           "/docker/" + kId,
           "/system.slice/docker-" + kId + ".scope",
           "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + kId + ".scope",
           "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1a_2b.slice/cri-containerd-" + kId +
               ".scope",
           "/kubepods/besteffort/pod8e2f1c52-0f5c-4b43-8e5e-7d7d3a2b1c0d/" + kId,
           "/kubepods.slice/kubepods-pod1.slice/crio-" + kId + ".scope",
           "/kubepods/pod1/crio-" + kId,
           "/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:" + kId,
           "/user.slice/user.slice:docker:" + kId,
           "/system.slice/nerdctl-" + kId + ".scope",
           "/machine.slice/libpod-" + kId + ".scope",
           "/machine.slice/libpod-" + kId + ".scope/container",
           "/libpod_parent/libpod-" + kId,
           "/ecs/0f1e2d3c/" + kId,
           "/docker/" + kId + "/system.slice/sshd.service",
           "/../../docker/" + kId,
       })
    EXPECT_EQ(container_of_cgroup(path), kId) << path;
}

TEST(ContainerTest, FindsTheNamesOfContainersWithoutIds) {
  for (const auto& [path, name] : std::vector<std::pair<std::string, std::string>>{
           {"/lxc/web", "web"},
           {"/lxc/web/system.slice/nginx.service", "web"},
           {"/lxc.payload.web-1", "web-1"},
           {"/lxc.payload.web/init.scope", "web"},
           {"/lxc.payload/web", "web"},
           {"/machine.slice/machine-build.scope", "build"},
           {"/machine.slice/machine-my\\x2dmachine.scope/payload", "my-machine"},
           {"/machine.slice/systemd-nspawn@build.service/payload", "build"}})
    EXPECT_EQ(container_of_cgroup(path), name) << path;
}

TEST(ContainerTest, FindsNoneWhereThereIsNone) {
  for (const std::string& path : {std::string(),
                                  std::string("/"),
                                  std::string("////"),
                                  std::string("/system.slice/docker.service"),
                                  std::string("/user.slice/user-1000.slice/session-2.scope"),
                                  std::string("/init.scope"),
                                  "/machine.slice/libpod-conmon-" + kId + ".scope",
                                  "/kubepods/pod1/crio-conmon-" + kId + ".scope",
                                  std::string("/lxc.monitor.web"),
                                  std::string("/lxc"),
                                  std::string("/lxc/"),
                                  std::string("/lxc.payload."),
                                  std::string("/machine.slice/machine-.scope"),
                                  std::string("/other.slice/machine-x.scope"),
                                  "/docker/" + kId.substr(1),
                                  "/docker/" + kId + "0",
                                  "/docker/x" + kId.substr(1),
                                  std::string("/system.slice/docker-.scope"),
                                  "/system.slice/docker-" + kId,
                                  "/system.slice/" + kId + ".scope",
                                  std::string("/a:docker:b"),
                                  std::string(":docker:")})
    EXPECT_EQ(container_of_cgroup(path), "") << path;
}

TEST(ContainerTest, TakesTheInnermostOfNestedOnes) {
  EXPECT_EQ(container_of_cgroup("/docker/" + kOther + "/docker/" + kId), kId);
  EXPECT_EQ(container_of_cgroup("/lxc/outer/docker/" + kId + "/a"), kId);
}

TEST(ContainerTest, KnowsAContainerByIdPrefixOrName) {
  EXPECT_TRUE(names_container(kId, kId));
  EXPECT_TRUE(names_container("3f2a9c", kId));
  EXPECT_TRUE(names_container("3F2A9C1B2D4E", kId));
  EXPECT_FALSE(names_container("3f2a9", kId)) << "too short to mean one";
  EXPECT_FALSE(names_container("3f2a9d", kId));
  EXPECT_FALSE(names_container(kId + "0", kId));
  EXPECT_TRUE(names_container("web", "web"));
  EXPECT_FALSE(names_container("webser", "webserver")) << "names are given whole";
  EXPECT_FALSE(names_container("abcdef", "abcdef-and-more"));
  EXPECT_FALSE(names_container("web", ""));
}

TEST(ContainerTest, ShortensIdsAndNoNames) {
  EXPECT_EQ(short_container(kId), "3f2a9c1b2d4e");
  EXPECT_EQ(short_container("a-container-with-a-long-name"), "a-container-with-a-long-name");
  EXPECT_EQ(short_container(""), "");
}

TEST(CgroupPlaceTest, ReadsTheUnifiedLine) {
  const CgroupPlace place = parse_cgroup("0::/system.slice/docker-" + kId + ".scope\n");
  EXPECT_EQ(place.path, "/system.slice/docker-" + kId + ".scope");
  EXPECT_EQ(place.container, kId);
  EXPECT_EQ(parse_cgroup("0::/").path, "/") << "without an end of line";
}

TEST(CgroupPlaceTest, TakesTheContainerOfAVersion1LineWhereTheUnifiedOneHasNone) {
  const CgroupPlace hybrid =
      parse_cgroup("12:pids:/docker/" + kId + "\n4:memory:/docker/" + kId + "\n1:name=systemd:/docker/" + kId +
                   "\n0::/system.slice/containerd.service\n");
  EXPECT_EQ(hybrid.path, "/system.slice/containerd.service");
  EXPECT_EQ(hybrid.container, kId);
  const CgroupPlace legacy = parse_cgroup("3:cpuset:/\n2:cpu,cpuacct:/lxc/web\n1:name=systemd:/user.slice\n");
  EXPECT_EQ(legacy.path, "/lxc/web");
  EXPECT_EQ(legacy.container, "web");
  EXPECT_EQ(parse_cgroup("3:cpuset:/\n1:name=systemd:/user.slice\n").path, "");
}

TEST(CgroupPlaceTest, ReadsPathsWithColonsAndOfRemovedCgroups) {
  EXPECT_EQ(parse_cgroup("0::/a:b/c:cri-containerd:" + kId + "\n").container, kId);
  EXPECT_EQ(parse_cgroup("0::/gone (deleted)\n").path, "/gone");
}

TEST(CgroupPlaceTest, PassesOverWhatIsNoSuchLine) {
  for (const std::string& text :
       {std::string(), std::string("\n\n"), std::string("0"), std::string("0:"), std::string("0::"),
        std::string("0::relative"), std::string(":::::"), std::string("rubbish\n0:\n"), std::string(1, '\0')})
    EXPECT_EQ(parse_cgroup(text).path + parse_cgroup(text).container, "");
  EXPECT_EQ(parse_cgroup("rubbish\n0::/a\nrubbish").path, "/a");
}

TEST(CgroupPlaceTest, AnyBytesOfAnyLengthAreRead) {
  EXPECT_EQ(parse_cgroup("0::/" + std::string(1 << 20, 'x')).path.size(), (1U << 20) + 1);
  EXPECT_EQ(parse_cgroup("0::" + std::string(1 << 20, '/')).container, "");
  EXPECT_EQ(parse_cgroup(std::string(1 << 20, ':')).path, "");
  const std::string whole =
      "5:memory:/docker/" + kId + "\n1:name=systemd:/machine.slice/machine-a\\x2db.scope\n0::/lxc/a\n";
  std::mt19937 random(3);  // NOLINT: the same sequence each time
  for (int round = 0; round < 20'000; ++round) {
    std::string text = whole;
    for (int change = 0; change < 5; ++change) text[random() % text.size()] = static_cast<char>(random());
    text.resize(random() % (text.size() + 1));
    const CgroupPlace place = parse_cgroup(text);
    EXPECT_TRUE(place.path.empty() || place.path.starts_with('/'));
  }
}

}  // namespace
}  // namespace tracer::proc
