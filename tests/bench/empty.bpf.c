// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Programs that do nothing: what they cost is what the probes themselves cost, the floor under every tracer.
#define SEC(name) __attribute__((section(name), used))

SEC("uprobe")
int on_entry(void* context) { return 0; }

SEC("uprobe")
int on_return(void* context) { return 0; }

SEC("uprobe")
int on_free(void* context) { return 0; }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
