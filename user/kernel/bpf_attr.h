// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace tracer::kernel {

/// Parts of the kernel's bpf(2) interface that are newer than Debian 12's headers and libbpf 1.1.
/// Source: include/uapi/linux/bpf.h of Linux 6.6, union bpf_attr, link_create.
inline constexpr std::uint32_t kAttachTypeUprobeMulti = 48;  // BPF_TRACE_UPROBE_MULTI
inline constexpr std::uint32_t kUprobeMultiReturn = 1;       // BPF_F_UPROBE_MULTI_RETURN

/// BPF_LINK_CREATE for an uprobe_multi link.
struct UprobeMultiAttr {
  std::uint32_t prog_fd = 0;
  std::uint32_t target_fd = 0;
  std::uint32_t attach_type = kAttachTypeUprobeMulti;
  std::uint32_t flags = 0;
  std::uint64_t path = 0;             // const char*
  std::uint64_t offsets = 0;          // const u64*, file offsets
  std::uint64_t ref_ctr_offsets = 0;  // none
  std::uint64_t cookies = 0;          // const u64*
  std::uint32_t count = 0;
  std::uint32_t multi_flags = 0;
  std::uint32_t pid = 0;  // 0: all processes
  std::uint32_t padding = 0;
};
static_assert(sizeof(UprobeMultiAttr) == 64);

/// Calls bpf(BPF_LINK_CREATE); the link's descriptor, or -1 with errno.
int create_uprobe_multi_link(const UprobeMultiAttr& attr);

}  // namespace tracer::kernel
