// SPDX-License-Identifier: Apache-2.0
#include "kernel/features.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string_view>

#include "base/unique_fd.h"
#include "kernel/bpf_attr.h"

namespace tracer::kernel {
namespace {

/// The smallest program of the type that uprobes run: "return 0".
UniqueFd load_trivial_program(std::uint32_t expected_attach_type, int* error) {
  const std::array<bpf_insn, 2> code{
      {{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}}};
  LIBBPF_OPTS(bpf_prog_load_opts, options);
  options.expected_attach_type = static_cast<bpf_attach_type>(expected_attach_type);
  UniqueFd fd(bpf_prog_load(BPF_PROG_TYPE_KPROBE, "tr_check", "GPL", code.data(), code.size(), &options));
  *error = fd.valid() ? 0 : errno;
  return fd;
}

CheckItem check_architecture() {
  utsname names{};
  ::uname(&names);
  return {"x86-64 machine", std::strcmp(names.machine, "x86_64") == 0, true,
          std::string(names.machine) + ", Linux " + names.release, "only x86-64 is supported so far"};
}

CheckItem check_btf() {
  const bool ok = ::access("/sys/kernel/btf/vmlinux", R_OK) == 0;
  return {"kernel type information (BTF)", ok, true, ok ? "/sys/kernel/btf/vmlinux" : "no /sys/kernel/btf/vmlinux",
          "the kernel needs CONFIG_DEBUG_INFO_BTF=y; distribution kernels since 2021 have it"};
}

CheckItem check_programs() {
  int error = 0;
  const UniqueFd program = load_trivial_program(0, &error);
  const bool refused = error == EPERM || error == EACCES;
  return {"BPF programs", program.valid(), true, program.valid() ? "a program was loaded" : std::strerror(error),
          refused ? "run as root (sudo), or with the capabilities CAP_BPF and CAP_PERFMON"
                  : "the kernel needs CONFIG_BPF_SYSCALL=y and CONFIG_BPF_EVENTS=y"};
}

CheckItem check_helper(const char* name, bpf_func_id helper, const char* since) {
  const int found = libbpf_probe_bpf_helper(BPF_PROG_TYPE_KPROBE, helper, nullptr);
  return {name, found == 1, true, found == 1 ? "yes" : "no", std::string("needs Linux ") + since + " or later"};
}

CheckItem check_map(const char* name, bpf_map_type type, const char* since) {
  const int found = libbpf_probe_bpf_map_type(type, nullptr);
  return {name, found == 1, true, found == 1 ? "yes" : "no", std::string("needs Linux ") + since + " or later"};
}

CheckItem check_perf_uprobes() {
  std::ifstream type("/sys/bus/event_source/devices/uprobe/type");
  std::string number;
  const bool ok = static_cast<bool>(std::getline(type, number));
  return {"uprobes", ok, true, ok ? "yes" : "no uprobe event source", "the kernel needs CONFIG_UPROBE_EVENTS=y"};
}

CheckItem check_multi() {
  const bool ok = has_uprobe_multi();
  return {"uprobe_multi links", ok, false, ok ? "yes" : "no: perf events are used instead",
          "Linux 6.6 and later have them; without them attaching and detaching take longer"};
}

CheckItem check_layout() {
  const bool ok = counts_layout();
  return {
      "address spaces count their changes", ok, false,
      ok ? "yes (mm_lock_seq)" : "no: tracepoints of system calls do it instead",
      "Linux 6.4 and later do; without it every process pays some nanoseconds per mmap, munmap, mremap and mprotect"};
}

/// Whether a struct has the member, itself or in an unnamed struct inside of it.
bool has_member(const btf* types, std::uint32_t id, std::string_view wanted) {
  const btf_type* type = btf__type_by_id(types, id);
  if (type == nullptr || !btf_is_composite(type)) return false;
  const btf_member* members = btf_members(type);
  for (int i = 0; i < btf_vlen(type); ++i) {
    const std::string_view name = btf__name_by_offset(types, members[i].name_off);
    if (name == wanted || (name.empty() && has_member(types, members[i].type, wanted))) return true;
  }
  return false;
}

/// The effective capabilities, a bit each (capabilities(7)); all of them for root, none when /proc does not tell.
std::uint64_t effective_capabilities() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("CapEff:")) return std::strtoull(line.c_str() + sizeof("CapEff:"), nullptr, 16);
  }
  return 0;
}

CheckItem check_proc_access() {
  const bool ok = (effective_capabilities() >> CAP_SYS_PTRACE & 1) != 0;
  return {"looking into other users' processes", ok, false, ok ? "yes" : "no CAP_SYS_PTRACE",
          "needs CAP_SYS_PTRACE (and CAP_DAC_READ_SEARCH, CAP_CHECKPOINT_RESTORE for their files): run as root"};
}

}  // namespace

const char* backend_name(Backend backend) { return backend == Backend::kMulti ? "multi" : "perf"; }

bool has_uprobe_multi() {
  int error = 0;
  const UniqueFd program = load_trivial_program(kAttachTypeUprobeMulti, &error);
  if (!program.valid()) return false;
  // A directory is no file to probe: a kernel that knows the link type says EBADF, one that does not says EINVAL.
  const std::uint64_t offset = 1;
  UprobeMultiAttr attr;
  attr.prog_fd = static_cast<std::uint32_t>(program.get());
  attr.path = reinterpret_cast<std::uint64_t>("/");
  attr.offsets = reinterpret_cast<std::uint64_t>(&offset);
  attr.count = 1;
  const UniqueFd link(create_uprobe_multi_link(attr));
  return !link.valid() && errno == EBADF;
}

bool counts_layout() {
  std::unique_ptr<btf, decltype(&btf__free)> kernel(btf__load_vmlinux_btf(), &btf__free);
  if (libbpf_get_error(kernel.get()) != 0) {
    (void)kernel.release();
    return false;
  }
  const int id = btf__find_by_name_kind(kernel.get(), "mm_struct", BTF_KIND_STRUCT);
  return id > 0 && has_member(kernel.get(), static_cast<std::uint32_t>(id), "mm_lock_seq");
}

std::vector<CheckItem> check_machine() {
  std::vector<CheckItem> items;
  items.push_back(check_architecture());
  items.push_back(check_programs());
  items.push_back(check_btf());
  items.push_back(check_perf_uprobes());
  items.push_back(check_helper("attach cookies", BPF_FUNC_get_attach_cookie, "5.15"));
  items.push_back(check_helper("task storage", BPF_FUNC_task_storage_get, "5.13"));
  items.push_back(check_helper("looking up mappings", BPF_FUNC_find_vma, "5.17"));
  items.push_back(check_helper("loops", BPF_FUNC_loop, "5.17"));
  items.push_back(check_map("ring buffer", BPF_MAP_TYPE_RINGBUF, "5.8"));
  items.push_back(check_multi());
  items.push_back(check_layout());
  items.push_back(check_proc_access());
  return items;
}

Result<void> require_machine() {
  for (const CheckItem& item : check_machine()) {
    if (item.ok || !item.needed) continue;
    const bool privileges = item.name == "BPF programs" && ::geteuid() != 0;
    return Error(privileges ? ErrorKind::kPermission : ErrorKind::kUnsupported,
                 "this machine cannot trace: " + item.name + ": " + item.detail, item.advice);
  }
  return {};
}

}  // namespace tracer::kernel
