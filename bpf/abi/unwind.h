/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Unwind tables: what a file's call frame information (.eh_frame) says, in the form in which the kernel half looks it
 * up. User space writes them (user/unwind), the kernel half reads them (bpf/table.bpf.h).
 *
 * A table covers the executable bytes of one file, by file offset. It is one piece of the array `unwind_words`:
 *
 *   first_word                          bucket_count + 1 words
 *   │ buckets: for each 128 bytes of the file from `low` on, the number of the first row that lies in them or behind
 *   │ rows: (low 16 bits of an offset) << 16 | number of a rule; sorted by offset; holds up to the next row
 *
 * so the row of an offset is the last one at or before it among rows [bucket[b] - 1, bucket[b + 1]), where b is its
 * bucket. Rules are the same for many rows, and all files share one array of them.
 */
#ifndef TRACER_BPF_ABI_UNWIND_H
#define TRACER_BPF_ABI_UNWIND_H

#include "bpf/abi/types.h"

#define TR_BUCKET_SHIFT 7
#define TR_MAX_RULES 65536
#define TR_ROW(offset, rule) ((__u32)(((offset)&0xffff) << 16 | (rule)))
#define TR_ROW_OFFSET(row) ((row) >> 16)
#define TR_ROW_RULE(row) ((row)&0xffff)

/* How the canonical frame address is found: the stack pointer before the call. The return address lies 8 below it. */
enum tr_cfa {
  TR_CFA_NONE = 0,    /* the file says nothing about this place */
  TR_CFA_SP,          /* rsp + cfa_offset */
  TR_CFA_FP,          /* rbp + cfa_offset */
  TR_CFA_SP_DEREF,    /* *(rsp + cfa_offset) + 8 * add8 */
  TR_CFA_FP_DEREF,    /* *(rbp + cfa_offset) + 8 * add8 */
  TR_CFA_PLT,         /* rsp + 8, and 8 more from byte cfa_offset of the 16-byte entry on */
  TR_CFA_SIGNAL,      /* the frame that the kernel makes for a signal handler: the registers lie in the ucontext at
                         rsp + cfa_offset */
  TR_CFA_END,         /* the outermost frame: it has no return address */
  TR_CFA_UNSUPPORTED, /* the file says something that these cannot express */
};

/* How the caller's rbp is found. */
enum tr_fp {
  TR_FP_SAME = 0, /* it is rbp */
  TR_FP_CFA,      /* stored at CFA + fp_offset */
  TR_FP_FP,       /* stored at rbp + fp_offset */
  TR_FP_LOST,     /* it cannot be known */
};

struct tr_rule {
  __u8 cfa;      /* enum tr_cfa */
  __u8 fp : 4;   /* enum tr_fp */
  __u8 add8 : 4; /* DEREF: see there */
  __s16 fp_offset;
  __s32 cfa_offset;
};
TR_ASSERT_SIZE(struct tr_rule, 8);

/* A frame of a stack: its registers, and how they were found. */
struct tr_walk {
  __u64 pc;
  __u64 sp;
  __u64 fp;
  __u64 flags;  /* TR_FRAME_EXACT, TR_FRAME_BY_FP */
  __u64 caller; /* the return address of the probed function, TR_NO_CALLER when it could not be read */
};
#define TR_NO_CALLER (~0ULL)

/*
 * Where a walk has ended with TR_END_NO_TABLE, and the stack from there on as it was: user space goes on when the table
 * is there. Such a stack has an id of its own, since nobody knows yet which it is. The bytes of the stack follow; the
 * record may have room for more of them than there are.
 */
#define TR_RAW_PIECE 512
#define TR_RAW_PIECES 16
struct tr_raw_stack {
  struct tr_walk walk;
  __u64 start; /* address of the first byte, a multiple of TR_RAW_PIECE */
  __u32 size;  /* of the bytes, a multiple of TR_RAW_PIECE */
  __u32 stack_id;
};
TR_ASSERT_SIZE(struct tr_raw_stack, 56);

/* An element of `unwind_words`: an array map's elements take 8 bytes each at least. */
struct tr_words {
  __u32 word[2];
};
TR_ASSERT_SIZE(struct tr_words, 8);

enum tr_table_state {
  TR_TABLE_UNKNOWN = 0, /* there is none yet, or not any more */
  TR_TABLE_READY,
  TR_TABLE_NONE, /* the file has no call frame information */
};

/* The table of a file, by file number. */
struct tr_table {
  __u64 low;        /* file offset of the first bucket, a multiple of 128 */
  __u32 first_word; /* where its buckets begin in `unwind_words` */
  __u32 bucket_count;
  __u32 state;     /* enum tr_table_state; user space sets it last and clears it first */
  __u32 wanted;    /* set by the kernel half when it needs a table that is not there, after which it sends an event */
  __u64 used_tick; /* tr_globals.tick when it was last looked into */
};
TR_ASSERT_SIZE(struct tr_table, 32);

#endif
