// SPDX-License-Identifier: Apache-2.0
// The floor under every tracer: three BPF programs that do nothing, at malloc, its return, and free of one process.
//
//   floor PID best|entry|stack
//
// `best` probes where tracer would (elf::select_probe_site), `entry` the functions' first instructions, `stack` is
// `best` with bpf_get_stack at malloc. Attaches with uprobe_multi where the kernel has it, else through perf events.
// Prints one line of JSON that says what it did and holds the probes until its input ends.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "elf/elf_image.h"
#include "elf/probe_site.h"
#include "empty.skel.h"

namespace {

using tracer::Error;
using tracer::ErrorKind;
using tracer::Result;
using tracer::UniqueFd;

struct SkeletonDeleter {
  void operator()(empty* skeleton) const { empty__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<empty, SkeletonDeleter>;

struct Target {
  pid_t pid;
  std::string library;  // of malloc and free
  bool takes_stack;     // at malloc, by bpf_get_stack
};

struct Function {
  tracer::elf::ProbeSite best;
  std::uint64_t file_offset;  // of the first instruction
};

struct Probe {
  bpf_program* program;
  std::uint64_t file_offset;
  bool at_return;
};

/// BPF_LINK_CREATE with its uprobe_multi arm (Linux 6.6); the headers of Debian 12 are older.
struct UprobeMultiAttr {
  std::uint32_t program_fd;
  std::uint32_t target_fd;
  std::uint32_t attach_type;
  std::uint32_t flags;
  std::uint64_t path;
  std::uint64_t offsets;
  std::uint64_t reference_counter_offsets;
  std::uint64_t cookies;
  std::uint32_t count;
  std::uint32_t multi_flags;
  std::uint32_t pid;
  std::uint32_t padding;
};
static_assert(offsetof(UprobeMultiAttr, path) == 16 && offsetof(UprobeMultiAttr, pid) == 56);

constexpr auto kAttachUprobeMulti = static_cast<bpf_attach_type>(48);
constexpr std::uint32_t kMultiReturn = 1;

/// This program has the libc of the measured one: both were built together.
Result<std::string> library_of_malloc() {
  Dl_info info{};
  void* function = dlsym(RTLD_DEFAULT, "malloc");
  if (function == nullptr || dladdr(function, &info) == 0)
    return Error(ErrorKind::kNotFound, "no malloc in this program");
  return std::string(info.dli_fname);
}

Result<Function> find_function(int fd, const tracer::elf::ElfImage& image, const char* name) {
  for (const auto& function : image.functions()) {
    const auto file_offset = image.offset_of_address(function.address);
    if (function.name != name || !file_offset) continue;
    auto code = tracer::elf::read_bytes(fd, *file_offset, function.size_bytes);
    if (!code) return std::move(code).error();
    return Function{tracer::elf::select_probe_site(*code), *file_offset};
  }
  return Error(ErrorKind::kNotFound, std::string("no function ") + name);
}

std::optional<UniqueFd> attach_multi(const Target& target, const Probe& probe) {
  UprobeMultiAttr attr{};
  attr.program_fd = static_cast<std::uint32_t>(bpf_program__fd(probe.program));
  attr.attach_type = kAttachUprobeMulti;
  attr.path = reinterpret_cast<std::uint64_t>(target.library.c_str());
  attr.offsets = reinterpret_cast<std::uint64_t>(&probe.file_offset);
  attr.count = 1;
  attr.multi_flags = probe.at_return ? kMultiReturn : 0;
  attr.pid = static_cast<std::uint32_t>(target.pid);
  UniqueFd link(static_cast<int>(syscall(__NR_bpf, BPF_LINK_CREATE, &attr, sizeof attr)));
  if (!link.valid()) return std::nullopt;
  return link;
}

bool attach_perf(const Target& target, const Probe& probe) {
  LIBBPF_OPTS(bpf_uprobe_opts, options);
  options.retprobe = probe.at_return;
  return bpf_program__attach_uprobe_opts(probe.program, target.pid, target.library.c_str(), probe.file_offset,
                                         &options) != nullptr;
}

std::array<Probe, 3> probes_of(const empty& skeleton, std::uint64_t malloc_site, std::uint64_t free_site) {
  return {Probe{skeleton.progs.on_entry, malloc_site, false}, Probe{skeleton.progs.on_return, malloc_site, true},
          Probe{skeleton.progs.on_free, free_site, false}};
}

Skeleton load(bool multi, bool takes_stack) {
  Skeleton skeleton(empty__open());
  if (!skeleton) return nullptr;
  skeleton->rodata->takes_stack = takes_stack;
  if (multi) {
    for (auto* program : {skeleton->progs.on_entry, skeleton->progs.on_return, skeleton->progs.on_free})
      bpf_program__set_expected_attach_type(program, kAttachUprobeMulti);
  }
  if (empty__load(skeleton.get()) != 0) return nullptr;
  return skeleton;
}

/// What keeps the probes in place; perf-event links live as long as this process does.
struct Attachment {
  Skeleton skeleton;
  std::vector<UniqueFd> links;
  const char* backend;
};

std::optional<Attachment> try_multi(const Target& target, std::uint64_t malloc_site, std::uint64_t free_site) {
  Attachment attachment{load(true, target.takes_stack), {}, "uprobe_multi"};
  if (!attachment.skeleton) return std::nullopt;
  for (const Probe& probe : probes_of(*attachment.skeleton, malloc_site, free_site)) {
    auto link = attach_multi(target, probe);
    if (!link) return std::nullopt;
    attachment.links.push_back(std::move(*link));
  }
  return attachment;
}

std::optional<Attachment> try_perf(const Target& target, std::uint64_t malloc_site, std::uint64_t free_site) {
  Attachment attachment{load(false, target.takes_stack), {}, "perf_event"};
  if (!attachment.skeleton) return std::nullopt;
  for (const Probe& probe : probes_of(*attachment.skeleton, malloc_site, free_site))
    if (!attach_perf(target, probe)) return std::nullopt;
  return attachment;
}

Result<Attachment> attach(const Target& target, std::uint64_t malloc_site, std::uint64_t free_site) {
  if (auto attachment = try_multi(target, malloc_site, free_site)) return std::move(*attachment);
  if (auto attachment = try_perf(target, malloc_site, free_site)) return std::move(*attachment);
  return Error::from_errno(errno, "attach empty programs to process " + std::to_string(target.pid));
}

Result<void> run(pid_t pid, bool best, bool takes_stack) {
  auto library = library_of_malloc();
  if (!library) return std::move(library).error();
  const UniqueFd fd(open(library->c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return Error::from_errno(errno, "open " + *library);
  auto image = tracer::elf::ElfImage::read(fd.get(), {"malloc", "free"});
  if (!image) return std::move(image).error();
  auto malloc_function = find_function(fd.get(), *image, "malloc");
  if (!malloc_function) return std::move(malloc_function).error();
  auto free_function = find_function(fd.get(), *image, "free");
  if (!free_function) return std::move(free_function).error();

  const auto site = [best](const Function& f) { return f.file_offset + (best ? f.best.offset : 0); };
  auto attachment = attach({pid, *library, takes_stack}, site(*malloc_function), site(*free_function));
  if (!attachment) return std::move(attachment).error();

  std::printf("{\"backend\": \"%s\", \"best_malloc_offset\": %u, \"best_free_offset\": %u}\n", attachment->backend,
              malloc_function->best.offset, free_function->best.offset);
  std::fflush(stdout);
  while (std::getchar() != EOF) continue;
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  const pid_t pid = argc == 3 ? std::atoi(argv[1]) : 0;
  const std::string site = argc == 3 ? argv[2] : "";
  if (pid < 1 || (site != "best" && site != "entry" && site != "stack")) {
    std::fprintf(stderr, "usage: floor PID best|entry|stack\n");
    return 2;
  }
  libbpf_set_print(nullptr);
  if (auto done = run(pid, site != "entry", site == "stack"); !done) {
    std::fprintf(stderr, "floor: %s\n", done.error().message().c_str());
    return 1;
  }
}
