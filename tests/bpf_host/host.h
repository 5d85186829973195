/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The BPF programs as functions of the host, each called in the name of a task. C, because bpf/ is.
 *
 * One program may run inside another (from a hook of the fake kernel): that is how tests let another thread come
 * between two steps of a program. Not for several host threads.
 */
#ifndef TRACER_TESTS_BPF_HOST_HOST_H
#define TRACER_TESTS_BPF_HOST_HOST_H

#ifdef __cplusplus
#include "bpf/abi/memory.h"
#include "bpf/abi/misuse.h"
#include "bpf/abi/types.h"
#include "bpf/abi/unwind.h"
extern "C" {
#endif

/* The user registers that the programs read. */
struct host_registers {
  __u64 ip;
  __u64 sp;
  __u64 bp;
  __u64 ax;
  __u64 di;
  __u64 si;
  __u64 dx;
  __u64 r10;     /* the fourth argument of a system call */
  __u64 orig_ax; /* its number */
  __u64 cx;
  __u64 r11;
  __u64 flags;
};

#define TR_HOST_RETURNS 8
#define TR_HOST_CGROUPS 4

/* What a return probe has taken from a stack: the address that was in the slot. */
struct host_return {
  __u64 slot;
  __u64 address;
};

/* A thread as the kernel shows it to the programs. */
struct host_task {
  __u32 tgid;
  __u32 pid;
  __s32 exit_code;
  __s32 live_threads; /* of its process: those that have not begun to exit */
  __u64 trampoline;   /* where return probes send returning functions; 0: the process has no such page yet */
  __u32 layout;       /* mm_lock_seq of its address space */
  __u32 executable_pages;
  __u64 start_stack;
  __u64 brk;
  __s32 pagefault_disabled;
  __u32 uid;
  __u32 parent_tgid;
  __u64 started_ns;
  char comm[TR_COMM];
  __u64 cgroups[TR_HOST_CGROUPS];              /* ids, from the root down to the task's own; 0 behind it */
  __u64 pid_namespace;                         /* inode */
  __u64 vdso;                                  /* where it is mapped; 0: nowhere */
  struct host_return returns[TR_HOST_RETURNS]; /* of functions whose return a probe waits for, innermost first */
  __u32 return_count;
};

/* A mapping of the running process. */
struct host_mapping {
  __u64 start;
  __u64 end;
  __u64 file_offset;
  __u32 executable;
  __u32 has_file; /* 0: the rest says nothing */
  struct tr_file_key key;
  const char* path; /* "/lib/libx.so" */
  __u32 own;        /* mappings of the file in the running process, beside this one */
  __u32 others;     /* … and in other processes */
};

/* A map as bpf/maps.bpf.h declares it; sizes are 0 where it declares none. */
struct host_map {
  void* map;
  const char* name;
  __u32 type;
  __u32 key_size;
  __u32 value_size;
  __u32 max_entries;
};

void host_heap_entry(const struct host_task* task, const struct host_registers* registers, __u64 cookie);
void host_heap_return(const struct host_task* task, const struct host_registers* registers);
/* Around a system call; the registers are those of the thread when it was made. */
void host_memory_call_entry(const struct host_task* task, const struct host_registers* registers);
void host_memory_call_return(const struct host_task* task, const struct host_registers* registers, __u64 result);
void host_page_fault(const struct host_task* task, const struct host_registers* registers, __u64 address,
                     __u64 error_code);
/* `exit`: TR_EXIT. */
void host_heap_exit(const struct host_task* task, const struct host_registers* registers, __u64 exit);
void host_library_entry(const struct host_task* task);
/* What user space runs for a file that it has mapped at the address. */
__s32 host_identify(const struct host_task* task, __u64 address);
/* The same: whether anybody else maps it. */
__s32 host_is_mapped(const struct host_task* task, __u64 address);
/* What user space runs for an address space that has ended: how many stacks it had. */
__s32 host_release(const struct host_task* task, __u32 space);
void host_mapping_change(const struct host_task* task);
/* shares_memory: a child of vfork, or of clone with CLONE_VM. */
void host_process_fork(const struct host_task* parent, const struct host_task* child, int shares_memory);
void host_process_exec(const struct host_task* task);
void host_process_exit(const struct host_task* task);

/* Parts of bpf/sample.bpf.h. 2^32 times -ln((random + 1/2) / 2^32): */
__u64 host_negative_log(__u32 random);
/* What a sampled block adds to the books: */
struct host_weight {
  __u64 units;
  __u64 bytes;
  __u64 variance;
  __u64 birth_ticks;
};
struct host_weight host_weigh(__u64 size, __u64 distance, __u64 birth_tick);

struct tr_globals* host_globals(void);
/* Read-only in the kernel; tests set it before programs run, like the loader. */
struct tr_config* host_config(void);
struct tr_filter* host_filter(void);
struct tr_misuse* host_misuse(void);
const struct host_map* host_maps(__u32* count);

/* In shim.cpp: the mapping of process `tgid` at an address: 0, -ENOENT, or -EBUSY. */
__s32 host_find_mapping(__u32 tgid, __u64 address, struct host_mapping* out);
/* In shim.cpp: the storage of task `pid`, made when it is missing and `create`; NULL when there is no memory. */
void* host_task_storage(__u32 pid, __u32 size, int create);

#ifdef __cplusplus
}
#endif

#endif
