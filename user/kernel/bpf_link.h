// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/libbpf.h>

#include <memory>

namespace tracer::kernel {

struct BpfLinkDeleter {
  void operator()(bpf_link* link) const noexcept { bpf_link__destroy(link); }
};

/// A link of libbpf's; destroying it detaches.
using BpfLink = std::unique_ptr<bpf_link, BpfLinkDeleter>;

}  // namespace tracer::kernel
