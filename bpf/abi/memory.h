/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What happens to the memory of a process without an allocator: --events. Seen by both halves, like types.h. */
#ifndef TRACER_BPF_ABI_MEMORY_H
#define TRACER_BPF_ABI_MEMORY_H

#include "bpf/abi/types.h"

/*
 * A range of an address space changes hands. What is taken away is told before the kernel does it, what is handed out
 * after it has: of two threads the one that gets a range tells later than the one that gave it up.
 */
enum tr_memory_change {
  TR_MEMORY_TAKE = 1, /* the range is about to be unmapped or moved by the thread `tid` */
  TR_MEMORY_SETTLE,   /* … and is in the range given here now; in an empty one: it is unmapped */
  TR_MEMORY_RESTORE,  /* … and has stayed where it was, since the system call failed */
  TR_MEMORY_MAP,      /* anonymous memory is mapped */
  TR_MEMORY_PROTECT,  /* the range has become accessible or inaccessible */
};

#define TR_MEMORY_ACCESSIBLE 1   /* MAP, PROTECT: not PROT_NONE */
#define TR_MEMORY_BY_ALLOCATOR 2 /* MAP: by an allocator function that is probed, for itself */

struct tr_memory_event {
  __u32 change; /* enum tr_memory_change */
  __u32 space;
  __u32 tid;
  __u32 stack_id; /* MAP: who has mapped it */
  __u64 address;
  __u64 length;
  __u32 flags;
  __u32 padding;
};
TR_ASSERT_SIZE(struct tr_memory_event, 40);

/* A system call that is being made by a thread: what its end needs to know. Kernel half only. */
struct tr_memory_call {
  __u64 address;
  __u64 length;
  __u32 flags;
  __u32 is_taken; /* a TAKE was told */
  __u32 space;    /* 0: there is none */
  __u32 padding;
};
TR_ASSERT_SIZE(struct tr_memory_call, 32);

#endif
