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

#include "bpf/abi/memory.h"
#include "bpf/abi/misuse.h"
#include "bpf/abi/types.h"
#include "bpf/abi/unwind.h"

#define TR_INLINE static inline __attribute__((always_inline))
/*
 * A function that the verifier checks once, for any arguments, and not at each place that calls it: loops belong into
 * these. Its pointers may be NULL as far as the verifier knows.
 */
#define TR_CHECKED_ONCE __attribute__((noinline))

#define TR_EBUSY 16
#define TR_EEXIST 17

/* An executable mapping as it was when it was looked up. Kernel half only. */
struct tr_range {
  __u64 check; /* over the rest: two threads may write one at the same time */
  __u64 start;
  __u64 end;   /* 0: none */
  __u64 bias;  /* address - offset in the file */
  __u64 stamp; /* see libraries_stamp() */
  __u32 module;
  __u32 serial; /* of the address space */
};

/* A call that copies two kilobytes of the target's stack costs 37 ns, one that copies a word 22. */
#define TR_WINDOW_WORDS 256

/*
 * What the tracer knows of a thread between the entry and the return of a call: the outermost allocator call in flight,
 * the last block it freed, room for the stack being taken, and the last mapping looked up. Kernel half only.
 */
struct tr_thread {
  __u64 sp; /* stack pointer at the entry of the call in flight, 0 when there is none */
  __u64 size;
  __s64 sample_gap;      /* bytes to the next sample … */
  __u64 sample_distance; /* … and in the mean */
  __u32 sample_level;    /* tr_space.sample_level that the two are for; 0: none yet */
  __u32 events;          /* calls that tr_space.events does not know of yet */
  __u64 out_address;     /* ALLOC_OUT: where the block's address will be stored */
  __u64 old_address;     /* REALLOC: the block given, 0 for none */
  struct tr_block old;   /* REALLOC: its books, if old_known */
  __u64 freed_address;   /* the last block freed, to know an inner free of the same block … */
  __u64 freed_sp;        /* … by its deeper stack */
  __u32 space;
  __u32 stack_id;
  __u32 call; /* enum tr_call of the call in flight */
  __u32 old_known;
  __u32 skip;       /* enum tr_skip: the result is not recorded */
  __u32 call_level; /* sampling level of the call in flight; 0: the block stands for itself */
  __u32 serial;     /* of the space */
  __u32 pause;      /* tr_globals.pause at the entry of the call in flight */
  __u32 frame_count;
  __u32 stack_end;       /* enum tr_stack_end */
  struct tr_walk walk;   /* where the walk of the stack has come to */
  struct tr_range range; /* the mapping that an address was last found in */
  __u32 range_layout;    /* … and the layout of the address space at that time */
  __u32 announcements;   /* tr_stack.announcements of the stack being taken */
  __u32 is_last_try;     /* the stack is being finished at the return of the call */
  __u32 is_inside;       /* it begins anywhere in a function, not at the site of a probe */
  struct tr_memory_call memory_call;
  __u64 mark_sp;      /* stack pointer at the entry of the operator that was entered last, 0 for none … */
  __u64 mark_value;   /* … the size that it will ask for, or the block that it will free … */
  __u32 mark_is_free; /* … which of the two … */
  __u32 mark_kind;    /* … and enum tr_kind */
  __u32 kind;         /* of the call in flight */
  struct tr_anomaly_key found;
  struct tr_anomaly first;
  __u64 open_return;  /* return address of an open call in flight (TR_COOKIE_EXITS), 0 when it is none */
  __u64 hash;         /* of the frames so far */
  __u64 window_start; /* target memory that `window` holds a copy of: part of the stack being walked … */
  __u64 window_size;  /* … this many bytes of it */
  __u64 window[TR_WINDOW_WORDS];
  __u64 frames[TR_MAX_FRAMES];
};

/* Ranges kept per address space, for when its mappings cannot be looked up; address spaces share sets of these. */
#define TR_RANGE_SETS 256
#define TR_RANGES 32

/* An address, the frame it stands for and how to find the caller's, as long as the layout of its address space is that
 * one. Kernel half only. */
#define TR_PC_BITS 16
struct tr_pc {
  __u64 check; /* check_of() the address and the other three */
  __u64 valid; /* layout << 32 | folded stamp, see libraries_stamp() */
  __u64 frame;
  __u64 rule; /* struct tr_rule */
};

#endif
