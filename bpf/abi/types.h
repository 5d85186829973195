/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel half and the user half both see, in C that both compile. Nothing is described twice: fixed-width
 * fields, padding written out, a size assertion beside each struct.
 *
 * A worked example. A program calls malloc(100) twice from one place and frees one of the blocks:
 *
 *   tr_process[tgid 4242]      { space 1 }
 *   tr_space[1]                { tgid 4242, live_bytes 100, peak_bytes 200, … }
 *   tr_stack[7]                { space 1, frame_count 3, first_chunk 12, alloc_objects 2, alloc_bytes 200, free_objects
 * 1, … } tr_stack_chunk[12]         { ip of malloc, return address in the caller, return address in its caller }
 *   tr_block[space 1, 0x5555…] { size 100, stack_id 7 }
 *
 * Everything else (live bytes of a stack, totals of a process) is a sum or a difference of these.
 */
#ifndef TRACER_BPF_ABI_TYPES_H
#define TRACER_BPF_ABI_TYPES_H

#ifdef __cplusplus
#include <linux/types.h>
#define TR_ASSERT_SIZE(type, size) static_assert(sizeof(type) == (size), "layout of " #type)
#else
#define TR_ASSERT_SIZE(type, size) _Static_assert(sizeof(type) == (size), "layout of " #type)
#endif

#define TR_MAX_FRAMES 127
/* Frames per element of the stack store: a stack occupies consecutive chunks. */
#define TR_CHUNK_FRAMES 16
#define TR_MAX_CHUNKS 8
/* Generations a block can be young in; see tr_young. */
#define TR_YOUNG_SLOTS 8
/* A generation ends after a quarter of --older, so a block is surely older than that after five. */
#define TR_YOUNG_WINDOW 5
#define TR_GENERATIONS_PER_OLDER 4
#define TR_MAX_SPACES 16384
/* Stack ids: 0 stands for every stack that could not be stored; see also tr_space.no_stack. */
#define TR_NO_STACK 0

/* What a probed function is, the lowest byte of its attach cookie. */
enum tr_call {
  TR_CALL_NONE = 0,
  TR_CALL_ALLOC,        /* returns the block, or NULL */
  TR_CALL_ALLOC_OUT,    /* returns 0 and stores the block through a pointer argument (posix_memalign) */
  TR_CALL_REALLOC,      /* takes a block and returns a block */
  TR_CALL_FREE,         /* takes a block */
  TR_CALL_LOADER_STATE, /* the dynamic linker's list of libraries has changed or is about to (_dl_debug_state) */
  TR_CALL_LOADER_CLOSE, /* dlclose: libraries may be unmapped before the calling thread goes on */
};

/*
 * The attach cookie: which arguments mean what. An argument is counted from 1; 0 means that there is none.
 *
 *   bits 0-7 enum tr_call | 8-11 size argument | 12-15 count argument | 16-19 pointer argument
 */
#define TR_COOKIE(call, size_arg, count_arg, pointer_arg) \
  ((__u64)(call) | (__u64)(size_arg) << 8 | (__u64)(count_arg) << 12 | (__u64)(pointer_arg) << 16)
#define TR_COOKIE_CALL(cookie) ((__u32)((cookie)&0xff))
#define TR_COOKIE_SIZE_ARG(cookie) ((__u32)((cookie) >> 8 & 0xf))
#define TR_COOKIE_COUNT_ARG(cookie) ((__u32)((cookie) >> 12 & 0xf))
#define TR_COOKIE_POINTER_ARG(cookie) ((__u32)((cookie) >> 16 & 0xf))

/* Why an event was not counted, or not attributed. heap::Loss in user space has the same order. */
enum tr_loss {
  TR_LOSS_BLOCKS_FULL = 0,
  TR_LOSS_STACKS_FULL,
  TR_LOSS_STACK_COLLISION,
  TR_LOSS_THREAD_STATE,
  TR_LOSS_CALL_ABANDONED,
  TR_LOSS_READ_FAULT,
  TR_LOSS_FREE_MISSED,
  TR_LOSS_SPACES_FULL,
  TR_LOSS_EVENTS_FULL,
  TR_LOSS_COUNT,
};

/* Where the walk of a stack ended. */
enum tr_stack_end {
  TR_END_ROOT = 0,   /* a frame without a caller: null frame pointer or null return address */
  TR_END_DEPTH,      /* TR_MAX_FRAMES or --max-stack */
  TR_END_FRAME,      /* the frame pointer does not point up the stack */
  TR_END_NOT_STORED, /* the stack has no frames: the store was full */
};

/* A live block's address. */
struct tr_block_key {
  __u64 address;
  __u64 space;
};
TR_ASSERT_SIZE(struct tr_block_key, 16);

struct tr_block {
  __u64 size;       /* requested bytes */
  __u64 birth_tick; /* tr_globals.tick when it was allocated; a realloc keeps it */
  __u32 stack_id;
  __u32 generation; /* tr_globals.generation when it was allocated; a realloc keeps it */
};
TR_ASSERT_SIZE(struct tr_block, 24);

/* One stack of one address space, with its totals: a cache line. Live = alloc - free. */
struct tr_stack {
  __u64 hash;
  __u32 first_chunk;
  __u16 frame_count;
  __u16 end;   /* enum tr_stack_end */
  __u32 space; /* 0 until the entry is complete */
  __u32 epoch; /* tr_space.epoch when it was taken: addresses mean one thing within an epoch */
  __u64 alloc_objects;
  __u64 alloc_bytes;
  __u64 free_objects;
  __u64 free_bytes;
  __u64 birth_ticks; /* sum of birth_tick over the live blocks */
};
TR_ASSERT_SIZE(struct tr_stack, 64);

/*
 * Live blocks of a stack by the generation they were allocated in, for the last TR_YOUNG_WINDOW generations.
 *
 * User space advances the generation every older/4 and zeroes the slot that comes into use two generations later, when
 * no block in the window uses it any more. So "live and older than --older" is live minus the sum of the window,
 * without a look at any single block.
 */
struct tr_young {
  __u64 objects[TR_YOUNG_SLOTS];
  __u64 bytes[TR_YOUNG_SLOTS];
};
TR_ASSERT_SIZE(struct tr_young, 128);

struct tr_stack_chunk {
  __u64 address[TR_CHUNK_FRAMES];
};
TR_ASSERT_SIZE(struct tr_stack_chunk, 128);

/* One address space: from attach, fork or exec to exec or exit. Its number is never reused within a run. */
struct tr_space {
  __u64 live_bytes;
  __u64 peak_bytes;
  __u64 free_unknown;   /* frees of blocks whose allocation was not seen */
  __u64 failed_objects; /* calls that returned no memory */
  __u32 tgid;           /* the process it began with */
  __u32 epoch;          /* advances when libraries may have been unmapped */
  __u32 no_stack;       /* stack id that takes what has no stack of its own */
  __u32 users;          /* processes in it: more than one between vfork and exec; 0 when it has ended */
  __u32 parent;         /* the space it was forked or executed from, 0 for none */
  __u32 padding[3];
};
TR_ASSERT_SIZE(struct tr_space, 64);

/* A traced process: which address space it is in now. */
struct tr_process {
  __u32 space;
  __u32 hold; /* bit set of enum tr_hold */
};
TR_ASSERT_SIZE(struct tr_process, 8);

/* When the kernel half stops the process for the user half; only ever set for a command that the tracer itself has
 * started. */
enum tr_hold {
  TR_HOLD_EXEC = 1,   /* after exec, before the first instruction */
  TR_HOLD_LOADER = 2, /* when the dynamic linker reports libraries */
};

enum tr_event_type {
  TR_EVENT_LIBRARIES = 1, /* what is mapped may have changed */
  TR_EVENT_STACK,         /* a stack was stored */
  TR_EVENT_FORK,
  TR_EVENT_EXEC,
  TR_EVENT_EXIT,
};

/* Library and process events; user space always reads the state behind an event anew. */
struct tr_event {
  __u32 type;
  __u32 tgid;
  __u32 space;
  __u32 value; /* FORK: parent's tgid; LIBRARIES: 1 when the process is held; EXEC: 1 when it is held; EXIT: wait status
                */
  __u64 time_ns; /* CLOCK_MONOTONIC */
};
TR_ASSERT_SIZE(struct tr_event, 24);

/*
 * Settings and counters shared by memory mapping. User space writes `recording`, `generation` and `tick` and reads the
 * rest; next_space and next_stack are advanced atomically by both.
 */
struct tr_globals {
  __u32 recording; /* 0: probes do nothing. Set when the last probe is attached, so that all begin at one instant */
  __u32 generation;
  __u32 next_space; /* first unused number; 0 is never used */
  __u32 next_stack;
  __u32 next_chunk;
  __u32 padding;
  __u64 tick; /* milliseconds since the trace began, set about ten times a second: reading a clock costs 23 ns per block
               */
  __u64 calls_nested; /* allocator calls inside an allocator call: counted with the outer one */
  __u64 losses[TR_LOSS_COUNT];
};
TR_ASSERT_SIZE(struct tr_globals, 40 + 8 * TR_LOSS_COUNT);

/* Fixed before the programs are loaded. */
struct tr_config {
  __u32 follow;     /* 1: forked children are traced */
  __u32 max_frames; /* 2 … TR_MAX_FRAMES */
  __u32 max_stacks;
  __u32 max_chunks;
  __u64 min_size; /* smaller requests are not recorded */
  __u64 max_size;
};
TR_ASSERT_SIZE(struct tr_config, 32);

#endif
