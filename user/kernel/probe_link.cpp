// SPDX-License-Identifier: Apache-2.0
#include "kernel/probe_link.h"

#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "base/unique_fd.h"
#include "kernel/bpf_attr.h"
#include "kernel/bpf_link.h"

namespace tracer::kernel {
namespace {

// Threads that wait for the kernel, not for a processor.
constexpr std::size_t kWaitingThreads = 32;

/// Runs task(0) … task(count - 1) on a few threads at the same time.
void run_together(std::size_t count, const std::function<void(std::size_t)>& task) {
  if (count == 1) return task(0);
  std::atomic<std::size_t> next{0};
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < std::min(count, kWaitingThreads); ++i) {
    threads.emplace_back([&] {
      for (std::size_t at = next++; at < count; at = next++) task(at);
    });
  }
}

bool is_return(Program program) { return program == Program::kHeapReturn; }

std::string path_of(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

Error attach_error(int errno_value) {
  std::string hint;
  if (errno_value == EACCES || errno_value == EPERM)
    hint = "uprobe_multi links need CAP_BPF and CAP_PERFMON, perf events CAP_SYS_ADMIN; run as root";
  else if (errno_value == EINVAL)
    hint = "another tool may hold a probe with a reference counter at the same place; see dmesg";
  return Error::from_errno(errno_value, "cannot attach probes", std::move(hint));
}

class MultiLink : public ProbeLink {
 public:
  explicit MultiLink(int fd) : link_(fd) {}

 private:
  UniqueFd link_;
};

class MultiAttacher : public ProbeAttacher {
 public:
  explicit MultiAttacher(const BpfObject& object) : object_(object) {}

  Result<std::unique_ptr<ProbeLink>> attach(Program program, int file_fd, const std::vector<ProbePoint>& points,
                                            pid_t pid) override {
    const std::string path = path_of(file_fd);
    std::vector<std::uint64_t> offsets;
    std::vector<std::uint64_t> cookies;
    for (const ProbePoint& point : points) {
      offsets.push_back(point.file_offset);
      cookies.push_back(point.cookie);
    }
    UprobeMultiAttr attr;
    attr.prog_fd = static_cast<std::uint32_t>(object_.program_fd(program));
    attr.path = reinterpret_cast<std::uint64_t>(path.c_str());
    attr.offsets = reinterpret_cast<std::uint64_t>(offsets.data());
    attr.cookies = reinterpret_cast<std::uint64_t>(cookies.data());
    attr.count = static_cast<std::uint32_t>(points.size());
    attr.multi_flags = is_return(program) ? kUprobeMultiReturn : 0;
    attr.pid = pid > 0 ? static_cast<std::uint32_t>(pid) : 0;
    const int fd = create_uprobe_multi_link(attr);
    if (fd < 0) return attach_error(errno);
    return std::unique_ptr<ProbeLink>(std::make_unique<MultiLink>(fd));
  }

 private:
  const BpfObject& object_;
};

class PerfLinks : public ProbeLink {
 public:
  explicit PerfLinks(std::vector<BpfLink> links) : links_(std::move(links)) {}
  ~PerfLinks() override {
    run_together(links_.size(), [this](std::size_t i) { links_[i].reset(); });
  }

 private:
  std::vector<BpfLink> links_;
};

class PerfAttacher : public ProbeAttacher {
 public:
  explicit PerfAttacher(const BpfObject& object) : object_(object) {}

  Result<std::unique_ptr<ProbeLink>> attach(Program program, int file_fd, const std::vector<ProbePoint>& points,
                                            pid_t pid) override {
    const std::string path = path_of(file_fd);
    std::vector<BpfLink> links(points.size());
    std::atomic<int> error{0};
    run_together(points.size(), [&](std::size_t i) {
      LIBBPF_OPTS(bpf_uprobe_opts, options);
      options.bpf_cookie = points[i].cookie;
      options.retprobe = is_return(program);
      links[i].reset(bpf_program__attach_uprobe_opts(object_.program(program), pid > 0 ? pid : -1, path.c_str(),
                                                     points[i].file_offset, &options));
      if (!links[i]) error = errno;
    });
    if (error != 0) {
      PerfLinks undo(std::move(links));
      return attach_error(error);
    }
    return std::unique_ptr<ProbeLink>(std::make_unique<PerfLinks>(std::move(links)));
  }

 private:
  const BpfObject& object_;
};

}  // namespace

int create_uprobe_multi_link(const UprobeMultiAttr& attr) {
  return static_cast<int>(::syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr)));
}

std::unique_ptr<ProbeAttacher> make_probe_attacher(Backend backend, const BpfObject& object) {
  if (backend == Backend::kMulti) return std::make_unique<MultiAttacher>(object);
  return std::make_unique<PerfAttacher>(object);
}

void detach_all(std::vector<std::unique_ptr<ProbeLink>> links) {
  run_together(links.size(), [&](std::size_t i) { links[i].reset(); });
}

void Detacher::detach(std::vector<std::unique_ptr<ProbeLink>> links) {
  std::erase_if(running_, [](const std::future<void>& one) {
    return one.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  });
  if (links.empty()) return;
  running_.push_back(
      std::async(std::launch::async, [links = std::move(links)]() mutable { detach_all(std::move(links)); }));
}

}  // namespace tracer::kernel
