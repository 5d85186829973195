/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the BPF headers of the kernel and of libbpf give to bpf/, for a build of the same sources on the host. Seen by
 * host.c only; fake_kernel.h is what tests see of it.
 *
 * A map stays what it is in the BPF build: a struct of pointers whose types say its key, its value and its size. The
 * helpers know a map by its address; host.c lists them all in host_maps().
 */
#ifndef TRACER_TESTS_BPF_HOST_SHIM_H
#define TRACER_TESTS_BPF_HOST_SHIM_H

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#include "vmlinux/x86/vmlinux.h"
#pragma GCC diagnostic pop

#define SEC(name)
#define __uint(name, value) int(*name)[value]
#define __type(name, value) __typeof__(value)* name

#define TR_HOST_PICK(_1, _2, _3, name, ...) name
#define TR_HOST_READ_1(source, a) ((source)->a)
#define TR_HOST_READ_2(source, a, b) ((source)->a->b)
#define BPF_CORE_READ(...) TR_HOST_PICK(__VA_ARGS__, TR_HOST_READ_2, TR_HOST_READ_1)(__VA_ARGS__)

/* The host plays the newest kernel: of several flavours of a struct the first that the code asks for. */
#define bpf_core_field_exists(type, field) 1

#define bpf_core_field_offset(type, field) __builtin_offsetof(type, field)

/* As bpf-helpers(7) describes them. In shim.cpp: */
void* bpf_map_lookup_elem(void* map, const void* key);
long bpf_map_update_elem(void* map, const void* key, const void* value, __u64 flags);
long bpf_map_delete_elem(void* map, const void* key);
long bpf_map_push_elem(void* map, const void* value, __u64 flags);
long bpf_map_pop_elem(void* map, void* value);
void* bpf_ringbuf_reserve(void* map, __u64 size, __u64 flags);
void bpf_ringbuf_submit(void* data, __u64 flags);
void bpf_ringbuf_discard(void* data, __u64 flags);
long bpf_ringbuf_output(void* map, void* data, __u64 size, __u64 flags);
long bpf_ringbuf_reserve_dynptr(void* map, __u32 size, __u64 flags, struct bpf_dynptr* record);
void bpf_ringbuf_submit_dynptr(struct bpf_dynptr* record, __u64 flags);
void bpf_ringbuf_discard_dynptr(struct bpf_dynptr* record, __u64 flags);
void* bpf_dynptr_data(const struct bpf_dynptr* record, __u32 offset, __u32 size);
long bpf_probe_read_user(void* out, __u32 size, const void* address);
__u64 bpf_ktime_get_ns(void);
__u32 bpf_get_prandom_u32(void);
long bpf_send_signal(__u32 signal);
long bpf_probe_read_kernel_str(void* out, __u32 size, const void* text);

/* In host.c, which knows the task that runs: */
void* bpf_task_storage_get(void* map, struct task_struct* task, void* value, __u64 flags);
struct task_struct* bpf_get_current_task_btf(void);
long bpf_task_pt_regs(struct task_struct* task);
__u64 bpf_get_current_pid_tgid(void);
__u64 bpf_get_attach_cookie(void* ctx);
__u64 bpf_get_current_uid_gid(void);
__u64 bpf_get_current_cgroup_id(void);
__u64 bpf_get_current_ancestor_cgroup_id(int level);
long bpf_get_ns_current_pid_tgid(__u64 device, __u64 inode, struct bpf_pidns_info* out, __u32 size);
long bpf_probe_read_kernel(void* out, __u32 size, const void* from);
long bpf_tail_call(void* ctx, void* programs, __u32 index);
long bpf_loop(__u32 count, void* callback, void* context, __u64 flags);
long bpf_find_vma(struct task_struct* task, __u64 address, void* callback, void* context, __u64 flags);

#endif
