// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Programs that do nothing: what they cost is what the probes themselves cost, the floor under every tracer. On demand
// the first of them takes the stack with the kernel's own helper, to compare.
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#define MOST_FRAMES 127
#define BPF_F_USER_STACK (1ULL << 8)

const volatile int takes_stack;

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64[MOST_FRAMES]);
} frames SEC(".maps");

SEC("uprobe")
int on_entry(struct pt_regs* context) {
  __u32 first = 0;
  __u64* out = takes_stack ? bpf_map_lookup_elem(&frames, &first) : 0;
  if (out) bpf_get_stack(context, out, sizeof(__u64) * MOST_FRAMES, BPF_F_USER_STACK);
  return 0;
}

SEC("uprobe")
int on_return(void* context) { return 0; }

SEC("uprobe")
int on_free(void* context) { return 0; }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
