/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What every file of the kernel half includes first. tests/bpf_host puts its shim in the place of the kernel's headers.
 */
#ifndef TRACER_BPF_PRELUDE_H
#define TRACER_BPF_PRELUDE_H

#ifdef TRACER_BPF_HOST
#include "tests/bpf_host/shim.h"
#else
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#endif

#include "bpf/abi/types.h"

#define TR_INLINE static inline __attribute__((always_inline))

/* A call that copies a kilobyte of the target's stack costs 33 ns, one that copies a frame's 16 bytes 22. */
#define TR_WINDOW_WORDS 128

/*
 * What the tracer knows of a thread between the entry and the return of a call: the outermost allocator call in flight,
 * the last block it freed, and room for the stack being taken. Kernel half only.
 */
struct tr_thread {
  __u64 sp; /* stack pointer at the entry of the call in flight, 0 when there is none */
  __u64 size;
  __u64 out_address;   /* ALLOC_OUT: where the block's address will be stored */
  __u64 old_address;   /* REALLOC: the block given, 0 for none */
  struct tr_block old; /* REALLOC: its books, if old_known */
  __u64 freed_address; /* the last block freed, to know an inner free of the same block … */
  __u64 freed_sp;      /* … by its deeper stack */
  __u32 space;
  __u32 stack_id;
  __u32 call; /* enum tr_call of the call in flight */
  __u32 old_known;
  __u32 skip;        /* the size is filtered out: the result is not recorded */
  __u32 spare_stack; /* an id reserved for a stack that another thread stored first; used for the next new one */
  __u32 closing;     /* _dl_debug_state hits that belong to the thread's dlclose */
  __u32 frame_count;
  __u32 stack_end;
  __u32 padding;
  __u64 window_start; /* target memory that `window` holds a copy of: part of the stack being walked … */
  __u64 window_size;  /* … this many bytes of it */
  __u64 window[TR_WINDOW_WORDS];
  __u64 frames[TR_MAX_FRAMES + 1];
};

#endif
