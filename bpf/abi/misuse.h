/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Blocks that are given back in a way that they must not be: --events misuse. Seen by both halves, like types.h. */
#ifndef TRACER_BPF_ABI_MISUSE_H
#define TRACER_BPF_ABI_MISUSE_H

#include "bpf/abi/types.h"

/* Different misuses that are kept, of all address spaces. */
#define TR_MAX_ANOMALIES 4096
/* Freed blocks that are remembered. */
#define TR_FREED_BLOCKS 65536
/* How far into a block an address is looked for that is no block itself, in steps of the least alignment. */
#define TR_BLOCK_STEP 16
#define TR_INSIDE_STEPS 256

/* Fixed before the programs are loaded. */
struct tr_misuse {
  __u32 watched; /* 1: misuse is looked for */
};
TR_ASSERT_SIZE(struct tr_misuse, 4);

/* How a block was allocated, and how it must be freed: TR_COOKIE_KIND. */
enum tr_kind {
  TR_KIND_C = 0,     /* malloc and its like; free, realloc */
  TR_KIND_NEW,       /* operator new; operator delete */
  TR_KIND_NEW_ARRAY, /* operator new[]; operator delete[] */
  TR_KIND_ANY,       /* functions of several kinds share an address */
};

enum tr_anomaly_type {
  TR_ANOMALY_MISMATCH = 1, /* freed by a function of another kind than it was allocated by */
  TR_ANOMALY_DOUBLE_FREE,  /* freed, and has been freed before */
  TR_ANOMALY_INSIDE,       /* the address lies inside of a block */
};

/* What is the same of several misuses. Stack ids; 0: not known. */
struct tr_anomaly_key {
  __u32 type; /* enum tr_anomaly_type */
  __u32 space;
  __u32 serial;      /* of the space */
  __u32 stack_id;    /* where it was freed */
  __u32 alloc_stack; /* … and allocated */
  __u32 first_free;  /* DOUBLE_FREE: … and freed before */
  __u8 alloc_kind;   /* MISMATCH: enum tr_kind */
  __u8 free_kind;
  __u16 padding;
};
TR_ASSERT_SIZE(struct tr_anomaly_key, 28);

struct tr_anomaly {
  __u64 count;
  __u64 address; /* that was given, the first time */
  __u64 size;    /* of the block */
  __u64 offset;  /* INSIDE: of the address in the block */
};
TR_ASSERT_SIZE(struct tr_anomaly, 32);

#endif
