/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel half and the user half both see, in C that both compile. Nothing is described twice: fixed-width
 * fields, padding written out, a size assertion beside each struct.
 *
 * A worked example. A program calls malloc(100) twice from one place and frees one of the blocks:
 *
 *   tr_process[tgid 4242]      { space 1 }
 *   tr_space[1]                { tgid 4242, live_bytes 100, peak_bytes 200, … }
 *   tr_module[2]               { inode 1234, device 8:1, generation 77, … path "libc.so.6" }
 *   tr_stack[7]                { space 1, frame_count 3, first_chunk 12, alloc_units 2048, alloc_bytes 200,
 *                                free_units 1024, … }
 *   tr_stack_chunk[12]         { module 2 + offset of malloc, module 1 + offset in the caller, … }
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

#define TR_MAX_FRAMES 512
/* Enough for the import machinery of script languages; runaway recursion is cut. */
#define TR_DEFAULT_FRAMES 256
/* Frames per element of the stack store: a stack is a chain of chunks. */
#define TR_CHUNK_FRAMES 15
#define TR_MAX_CHUNKS 35
/* Generations a block can be young in; see tr_young. */
#define TR_YOUNG_SLOTS 8
/* A generation ends after a quarter of --older, so a block is surely older than that after five. */
#define TR_YOUNG_WINDOW 5
#define TR_GENERATIONS_PER_OLDER 4
#define TR_MAX_SPACES 16384
/* Processes that are known, those that are not traced included. */
#define TR_MAX_PROCESSES 65536
/* TASK_COMM_LEN of the kernel. */
#define TR_COMM 16
/* A pattern for such a name: a star around each character. */
#define TR_COMM_GLOB 32
/* Files that stacks can mention, numbered from 1; 0 is code of no file (JIT). */
#define TR_MAX_MODULES 32000
#define TR_MODULE_PATH 224
/* Blocks are counted in units of 1/1024: a sampled one stands for a number of blocks that is not whole. */
#define TR_OBJECT_UNITS 1024
/* Sampling distances; the bounds keep what is computed from them within 64 bits, and its rounding below 1/1000. */
#define TR_LEAST_SAMPLE_BYTES 1024ULL
#define TR_MOST_SAMPLE_BYTES (1ULL << 30)
#define TR_SAMPLE_LEVELS 32
#define TR_LEVEL_MUTED 0xffff
/* Square bytes in the unit of the map `variances`. */
#define TR_VARIANCE_UNIT 1024
/* Stack ids: 0 is none. From tr_config.max_stacks on follow those that take, one per address space, what has no stack
 * of its own. */
#define TR_NO_STACK 0

/*
 * A frame of a stored stack: which file, and where in it. Code of no file (TR_MODULE_NONE), of one file too many
 * (TR_MODULE_UNNUMBERED), and what could not be looked up because the address space was being changed
 * (TR_MODULE_UNKNOWN): the address itself.
 *
 *   bits 49-63 module | 48 exact | 47 by frame pointer | 0-46 offset in the file
 *
 * Exact: the instruction itself, rather than a return address, which belongs to the call before it. By frame pointer:
 * found through the frame pointer of a callee about which there is no call frame information.
 */
#define TR_FRAME(module, offset) ((__u64)(module) << 49 | ((offset)&0x7fffffffffffULL))
#define TR_FRAME_EXACT (1ULL << 48)
#define TR_FRAME_BY_FP (1ULL << 47)
#define TR_MODULE_NONE 0
#define TR_MODULE_UNNUMBERED 0x7ffe
#define TR_MODULE_UNKNOWN 0x7fff
#define TR_FRAME_MODULE(frame) ((__u32)((frame) >> 49))
#define TR_FRAME_OFFSET(frame) ((frame)&0x7fffffffffffULL)

/* What a probed function is, the lowest byte of its attach cookie. */
enum tr_call {
  TR_CALL_NONE = 0,
  TR_CALL_ALLOC,        /* returns the block, or NULL */
  TR_CALL_ALLOC_OUT,    /* returns 0 and stores the block through a pointer argument (posix_memalign) */
  TR_CALL_REALLOC,      /* takes a block and returns a block */
  TR_CALL_FREE,         /* takes a block */
  TR_CALL_RESIZE,       /* makes a block larger or smaller where it is, and returns what it has then (xallocx) */
  TR_CALL_THROW,        /* makes an exception: an open call that is in flight will not return */
  TR_CALL_MARK,         /* calls one of the above, of which it tells the kind (libstdc++'s operator new) */
  TR_CALL_LOADER_STATE, /* the dynamic linker's list of libraries has changed or is about to (_dl_debug_state) */
};

/*
 * The attach cookie: which arguments mean what. An argument is counted from 1; 0 means that there is none.
 *
 *   bits 0-7 enum tr_call | 8-11 size argument | 12-15 count argument | 16-19 pointer argument | 20 exits |
 *   21-22 enum tr_kind | 23 MARK: of a free
 *
 * Exits: an exception can leave the function, so that it has no return probe. A call of it is open: it ends where a
 * probe at one of the function's exits sees its stack pointer.
 */
#define TR_COOKIE(call, size_arg, count_arg, pointer_arg) \
  ((__u64)(call) | (__u64)(size_arg) << 8 | (__u64)(count_arg) << 12 | (__u64)(pointer_arg) << 16)
#define TR_COOKIE_EXITS (1ULL << 20)
#define TR_COOKIE_OF_KIND(kind) ((__u64)(kind) << 21)
#define TR_COOKIE_KIND(cookie) ((__u32)((cookie) >> 21 & 3))
#define TR_COOKIE_FREES (1ULL << 23)
#define TR_COOKIE_IS_FREE(cookie) ((__u32)((cookie) >> 23 & 1))
#define TR_COOKIE_CALL(cookie) ((__u32)((cookie)&0xff))
#define TR_COOKIE_SIZE_ARG(cookie) ((__u32)((cookie) >> 8 & 0xf))
#define TR_COOKIE_COUNT_ARG(cookie) ((__u32)((cookie) >> 12 & 0xf))
#define TR_COOKIE_POINTER_ARG(cookie) ((__u32)((cookie) >> 16 & 0xf))

/*
 * The attach cookie of an exit: a place that an open call passes on its way out, with its result known.
 *
 *   bits 0-3 register with the result, as instructions number them | 4-7 condition, as in the opcodes of jumps |
 *   8 it is an exit only when the condition holds of the flags | 16-31 bytes from the stack pointer up to the entry's
 */
#define TR_EXIT(result, condition, is_conditional, stack_bytes) \
  ((__u64)(result) | (__u64)(condition) << 4 | (__u64)(is_conditional) << 8 | (__u64)(stack_bytes) << 16)
#define TR_EXIT_RESULT(exit) ((__u32)((exit)&0xf))
#define TR_EXIT_CONDITION(exit) ((__u32)((exit) >> 4 & 0xf))
#define TR_EXIT_IS_CONDITIONAL(exit) ((exit) >> 8 & 1)
#define TR_EXIT_STACK_BYTES(exit) ((exit) >> 16 & 0xffff)

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
  TR_LOSS_MAPPING_BUSY,   /* counted by user space, which tries to resolve such stacks itself */
  TR_LOSS_MODULES_FULL,   /* counted by user space */
  TR_LOSS_LIBRARY_MISSED, /* counted by user space */
  TR_LOSS_MAPPINGS_FULL,
  TR_LOSS_ANOMALIES_FULL,
  TR_LOSS_COUNT,
};

/* Where the walk of a stack ended, and why there. */
enum tr_stack_end {
  TR_END_ROOT = 0,    /* the outermost frame: it has no caller */
  TR_END_DEPTH,       /* TR_MAX_FRAMES or --max-stack */
  TR_END_FRAME,       /* the frame pointer does not point up the stack, or to a return address */
  TR_END_NOT_STORED,  /* the stack has no frames: the store was full */
  TR_END_BUSY,        /* the mapping could not be looked up: another thread changed the address space all the time */
  TR_END_NO_TABLE,    /* the file's unwind table was not there yet */
  TR_END_UNSUPPORTED, /* the file's call frame information says something that tables cannot express */
  TR_END_FAULT,       /* stack memory could not be read */
  TR_END_NO_CODE,     /* the return address lies in no executable mapping */
  TR_END_JIT,         /* code of no file that keeps no frame pointer */
  TR_END_COUNT,
};
/* In tr_stack.end: a tr_raw_stack says how it goes on. Each such stack has an id of its own, so they may have one in so
 * many only. */
#define TR_END_RAW 0x100
#define TR_STACKS_PER_RAW 8

/* Leads through the stacks of a space, from the one stored last. */
struct tr_stack_link {
  __u32 older; /* the stack that was stored before, 0 for none */
  __u32 padding;
};
TR_ASSERT_SIZE(struct tr_stack_link, 8);

/* A live block's address. */
struct tr_block_key {
  __u64 address;
  __u32 space;
  __u32 serial; /* of the space: what an ended one has left is nobody else's */
};
TR_ASSERT_SIZE(struct tr_block_key, 16);

struct tr_block {
  __u64 size : 54;       /* requested bytes; no address space is larger */
  __u64 kind : 2;        /* enum tr_kind */
  __u64 level : 8;       /* tr_space.sample_level that it was sampled at; 0: it stands for itself */
  __u64 birth_tick : 48; /* tr_globals.tick when it was allocated; a realloc keeps it */
  __u64 pause : 16;      /* tr_globals.pause when it was entered: in an older one it may have been freed unseen */
  __u32 stack_id;
  __u32 generation; /* tr_globals.generation when it was allocated; a realloc keeps it */
};
TR_ASSERT_SIZE(struct tr_block, 24);

/* One stack of one address space, with its totals: a cache line. Live = alloc - free. Where blocks are sampled, all of
 * this and of what follows are sums of the weights of those that were recorded: estimates of what there was. */
struct tr_stack {
  __u64 hash;
  __u32 first_chunk;
  __u16 frame_count;
  __u16 end;   /* enum tr_stack_end */
  __u32 space; /* 0 until the entry is complete */
  __u32
      announcements; /* with a frame of TR_MODULE_UNKNOWN, or TR_END_RAW: tr_space.announcements when it was taken; else
                         0 */
  __u64 alloc_units; /* of 1/TR_OBJECT_UNITS block */
  __u64 alloc_bytes;
  __u64 free_units;
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
  __u64 units[TR_YOUNG_SLOTS];
  __u64 bytes[TR_YOUNG_SLOTS];
};
TR_ASSERT_SIZE(struct tr_young, 128);

/* Of a stack's live blocks, those of before the last pause: what user space has carried over, less what was freed
 * since.
 */
struct tr_unverified {
  __u64 units;
  __u64 bytes;
};
TR_ASSERT_SIZE(struct tr_unverified, 16);

struct tr_stack_chunk {
  __u64 frame[TR_CHUNK_FRAMES]; /* TR_FRAME */
  __u32 next;                   /* the chunk with the frames that follow; says nothing in the last one */
  __u32 padding;
};
TR_ASSERT_SIZE(struct tr_stack_chunk, 128);

/*
 * One address space: from attach, fork or exec to exec or exit. Its number is used again when user space has taken
 * stock of an ended one and given it back; its serial is not.
 */
struct tr_space {
  __u64 live_bytes;
  __u64 peak_bytes;
  __u64 free_unknown;   /* frees of blocks whose allocation was not seen */
  __u64 failed_objects; /* calls that returned no memory */
  __u32 tgid;           /* the process it began with */
  __u32 layout;         /* advances when its mappings change; only on kernels that do not count that themselves */
  __u32 users;          /* processes in it: more than one between vfork and exec; 0 when it has ended */
  __u32 parent;         /* the space it was forked or executed from, 0 for none */
  __u32 announcements;  /* of its dynamic linker */
  __u32 serial;         /* no two spaces of a run have the same */
  __u32 newest_stack;   /* the stack that was stored last, 0 for none; see tr_stack_link */
  /* 0: every allocation is recorded; n: one in config.sample_bytes << (n - 1) bytes; TR_LEVEL_MUTED: nothing at all.
   * Set by user space at any time; what is in the books keeps the level that it was recorded at. */
  __u16 sample_level;
  __u16 sampled; /* sample_level is or was above 0: blocks that are not in the books may be live */
  __u64 events;  /* calls of allocator functions that ran the entry program, inner ones too, up to 63 per thread less */
  __u64 padding[7]; /* written to at each call: two spaces must not share a cache line */
};
TR_ASSERT_SIZE(struct tr_space, 128);

/* Who an address space belongs to, as of the moment at which it began; not written for those that user space begins. */
struct tr_origin {
  __u64 cgroup_id;  /* of cgroup2 */
  __u64 started_ns; /* the process's start, CLOCK_BOOTTIME */
  __u32 uid;
  __u32 parent_tgid;
  char comm[TR_COMM];
};
TR_ASSERT_SIZE(struct tr_origin, 40);

/*
 * Which content a mapping shows, as the kernel knows it without opening anything. The inode number alone is reused; the
 * generation tells its uses apart where the file system has one, and the change time (which nobody can set) wherever
 * the content was written again.
 */
struct tr_file_key {
  __u64 inode;
  __u64 changed_ns; /* the inode's change time */
  __u64 size;
  __u32 device; /* as the kernel encodes it: major << 20 | minor */
  __u32 generation;
};
TR_ASSERT_SIZE(struct tr_file_key, 32);

/* A file that has been met in an executable mapping. Its number is never reused within a run. */
struct tr_module {
  struct tr_file_key key;
  __u64 start; /* the mapping that it was first met in */
  __u64 end;
  __u64 file_offset; /* of start */
  __u64 time_ns;     /* CLOCK_MONOTONIC */
  __u64 modified_ns; /* the inode's modification time */
  __u32 tgid;
  __u32 path_device;         /* of the file system that `path` is a path of; on overlayfs not that of the file */
  __u32 path_parts;          /* names in `path` */
  __u32 known;               /* 1: the entry is complete; 0: not yet, or never (another thread was faster) */
  char path[TR_MODULE_PATH]; /* names from the file up to the root of its file system, each ending in a zero byte */
};
TR_ASSERT_SIZE(struct tr_module, 312);

/* A process that is known: which address space it is in now. */
struct tr_process {
  __u32 space; /* 0: it is not traced */
  __u32 hold;  /* bit set of enum tr_hold */
};
TR_ASSERT_SIZE(struct tr_process, 8);

/* When the kernel half stops the process for the user half; only ever set for a command that the tracer itself has
 * started. */
enum tr_hold {
  TR_HOLD_EXEC = 1,    /* after exec, before the first instruction */
  TR_HOLD_LOADER = 2,  /* when the dynamic linker reports libraries */
  TR_NEVER_TRACED = 4, /* not held at all: when all are traced, this one is not, whatever it executes */
};

/* Which processes are traced when all are: those that pass every kind of test that has entries, by any of its entries.
 */
#define TR_FILTER_ENTRIES 16
struct tr_filter {
  __u32 comm_count;
  __u32 uid_count;
  __u32 cgroup_count;
  __u32 has_pid_namespace;
  __u64 pid_namespace_device; /* of /proc/PID/ns/pid, as the kernel encodes it */
  __u64 pid_namespace_inode;
  __u64 cgroup_id[TR_FILTER_ENTRIES];    /* of cgroup2; what is below it passes too */
  __u32 cgroup_level[TR_FILTER_ENTRIES]; /* 0: the root */
  __u32 uid[TR_FILTER_ENTRIES];
  char comm[TR_FILTER_ENTRIES][TR_COMM_GLOB]; /* with * and ?, ending in a zero byte */
};
TR_ASSERT_SIZE(struct tr_filter, 32 + TR_FILTER_ENTRIES * (16 + TR_COMM_GLOB));

enum tr_event_type {
  TR_EVENT_LIBRARIES = 1, /* what is mapped may have changed */
  TR_EVENT_STACK,         /* a stack was stored */
  TR_EVENT_FORK,
  TR_EVENT_EXEC,
  TR_EVENT_EXIT,
  TR_EVENT_MODULE, /* a file was met for the first time */
  TR_EVENT_TABLE,  /* a file's unwind table is needed */
  TR_EVENT_ADOPT,  /* all are traced: a process has allocated for the first time */
};

/* Library and process events; user space always reads the state behind an event anew. */
struct tr_event {
  __u32 type;
  __u32 tgid;
  __u32 space;
  __u32 value;   /* FORK: parent's tgid; LIBRARIES: 1 when the process is held; EXEC: 1 when it is held (its space: when
                    all are traced, the one that has ended); EXIT: wait   status; MODULE, TABLE: the file's number */
  __u64 time_ns; /* CLOCK_MONOTONIC */
};
TR_ASSERT_SIZE(struct tr_event, 24);

/*
 * Settings and counters shared by memory mapping. User space writes `recording`, `generation`, `pause` and `tick` and
 * reads the rest; next_space is advanced atomically by both.
 */
struct tr_globals {
  __u32 recording; /* 0: probes do nothing. Set when the last probe is attached, so that all begin at one instant */
  __u32 generation;
  __u32 next_space; /* first unused number; 0 is never used */
  __u32 next_stack;
  __u32 next_chunk;
  __u32 next_module;
  __u32 pause;       /* how often recording was interrupted */
  __u32 vdso_module; /* the number under which the kernel's own code in each process is known */
  __u32 raw_stacks;  /* stacks with TR_END_RAW so far */
  __u32 next_serial; /* of address spaces */
  __u64 tick; /* milliseconds since the trace began, set about ten times a second: reading a clock costs 23 ns per block
               */
  __u64 calls_nested; /* allocator calls inside an allocator call: counted with the outer one */
  __u64 losses[TR_LOSS_COUNT];
};
TR_ASSERT_SIZE(struct tr_globals, 56 + 8 * TR_LOSS_COUNT);

/* Fixed before the programs are loaded. */
struct tr_config {
  __u32 follow;       /* 1: forked children are traced */
  __u32 count_layout; /* 1: the kernel does not count changes of an address space, tr_space.layout does */
  __u32 max_frames;   /* 2 … TR_MAX_FRAMES */
  __u32 max_stacks;
  __u32 max_chunks;
  __u32 use_tables;   /* 1: stacks are walked by unwind tables; 0: by frame pointers */
  __u32 all;          /* 1: every process is traced that passes tr_filter, from its first allocation on */
  __u32 sample_level; /* of address spaces at their beginning */
  __u64 min_size;     /* smaller requests are not recorded */
  __u64 max_size;
  __u64 sample_bytes; /* the sampling distance at level 1, also where nothing is sampled to begin with */
};
TR_ASSERT_SIZE(struct tr_config, 56);

#endif
