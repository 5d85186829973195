/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel types and fields that the programs in bpf/ read, and no others. CO-RE relocates each access to where the
 * running kernel has the field (preserve_access_index), so order and holes do not matter here; names do.
 */
#ifndef TRACER_VMLINUX_H
#define TRACER_VMLINUX_H

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;
typedef _Bool bool;
enum { false = 0, true = 1 };

enum bpf_map_type {
  BPF_MAP_TYPE_HASH = 1,
  BPF_MAP_TYPE_ARRAY = 2,
  BPF_MAP_TYPE_PROG_ARRAY = 3,
  BPF_MAP_TYPE_LRU_HASH = 9,
  BPF_MAP_TYPE_STACK = 23,
  BPF_MAP_TYPE_RINGBUF = 27,
  BPF_MAP_TYPE_TASK_STORAGE = 29,
};

enum { BPF_ANY = 0, BPF_NOEXIST = 1, BPF_EXIST = 2 };
enum { BPF_F_NO_PREALLOC = 1, BPF_F_MMAPABLE = 1024 };
enum { BPF_LOCAL_STORAGE_GET_F_CREATE = 1 };

/* User registers as a probe sees them; a context, not relocated (the x86-64 layout is ABI). */
struct pt_regs {
  unsigned long r15;
  unsigned long r14;
  unsigned long r13;
  unsigned long r12;
  unsigned long bp;
  unsigned long bx;
  unsigned long r11;
  unsigned long r10;
  unsigned long r9;
  unsigned long r8;
  unsigned long ax;
  unsigned long cx;
  unsigned long dx;
  unsigned long si;
  unsigned long di;
  unsigned long orig_ax;
  unsigned long ip;
  unsigned long cs;
  unsigned long flags;
  unsigned long sp;
  unsigned long ss;
};

struct bpf_raw_tracepoint_args {
  __u64 args[0];
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
  int counter;
} atomic_t;

/* The page in the target where single-stepped instructions and return probes go through (kernel/events/uprobes.c). */
struct xol_area {
  unsigned long vaddr;
};

struct uprobes_state {
  struct xol_area* xol_area;
};

typedef struct {
  void* vdso;
} mm_context_t;

struct mm_struct {
  mm_context_t context;
  struct uprobes_state uprobes_state;
  unsigned long exec_vm;     /* pages in executable mappings */
  unsigned long start_stack; /* where the first thread's stack begins: its highest frame lies below */
  unsigned long brk;         /* the end of the heap that brk(2) moves */
};

/* Not to be looked into. */
struct bpf_dynptr {
  unsigned long long opaque[2];
} __attribute__((aligned(8)));

/*
 * The count of writers of an address space: since Linux 6.14, and from 6.4 on. Same name, other type: hence two
 * flavours. A flavour begins like its base type, so that tests on the host can hand out one for the other.
 */
typedef struct seqcount {
  unsigned int sequence;
} seqcount_t;
struct mm_struct___counted {
  mm_context_t context;
  struct uprobes_state uprobes_state;
  unsigned long exec_vm;
  unsigned long start_stack;
  unsigned long brk;
  seqcount_t mm_lock_seq;
};
struct mm_struct___number {
  int mm_lock_seq;
};

struct timespec64 {
  long long tv_sec;
  long tv_nsec;
};

struct super_block {
  unsigned int s_dev;
};

struct inode {
  unsigned long i_ino;
  long long i_size;
  unsigned int i_generation;
  struct super_block* i_sb;
};
/* The times of last change: since Linux 6.11, since 6.6 (6.7), and before. */
struct inode___split {
  unsigned long i_ino;
  long long i_size;
  unsigned int i_generation;
  struct super_block* i_sb;
  long long i_ctime_sec;
  unsigned int i_ctime_nsec;
  long long i_mtime_sec;
  unsigned int i_mtime_nsec;
};
struct inode___private {
  struct timespec64 __i_ctime;
  struct timespec64 __i_mtime;
};
struct inode___plain {
  struct timespec64 i_ctime;
  struct timespec64 i_mtime;
};

struct qstr {
  const unsigned char* name;
};

struct dentry {
  struct dentry* d_parent;
  struct qstr d_name;
  struct super_block* d_sb;
};

struct path {
  struct dentry* dentry;
};

struct rb_node {
  struct rb_node* rb_right;
  struct rb_node* rb_left;
};

struct rb_root {
  struct rb_node* rb_node;
};

struct rb_root_cached {
  struct rb_root rb_root;
};

struct address_space {
  struct rb_root_cached i_mmap; /* the mappings of the file */
};

struct file {
  struct path f_path;
  struct inode* f_inode;
  struct address_space* f_mapping;
};

struct vm_area_struct {
  unsigned long vm_start;
  unsigned long vm_end;
  unsigned long vm_flags;
  unsigned long vm_pgoff;
  struct file* vm_file;
  struct mm_struct* vm_mm;
  struct {
    struct rb_node rb; /* in the tree of the file's mappings */
  } shared;
};

struct signal_struct {
  atomic_t live; /* threads that have not begun to exit */
};

/* A function whose return a probe waits for: its return address lies at `stack`, or did. */
struct return_instance {
  unsigned long stack;
  unsigned long orig_ret_vaddr;
  struct return_instance* next;
};

struct uprobe_task {
  struct return_instance* return_instances; /* innermost first */
};

struct task_struct {
  int pid;
  int tgid;
  int exit_code;
  __u64 start_boottime;
  struct task_struct* group_leader;
  struct task_struct* real_parent;
  char comm[16];
  struct mm_struct* mm;
  struct signal_struct* signal;
  struct uprobe_task* utask;
  int pagefault_disabled; /* above 0: what it reads of user memory is left out when it is not there */
};

#pragma clang attribute pop

struct bpf_pidns_info {
  __u32 pid;
  __u32 tgid;
};

#endif
