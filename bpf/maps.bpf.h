/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every map: who writes, who reads, what happens when it is full. Sizes are set by user space from --max-memory. */
#ifndef TRACER_BPF_MAPS_H
#define TRACER_BPF_MAPS_H

#include "bpf/prelude.bpf.h"

struct tr_globals globals;
const volatile struct tr_config config;
const volatile struct tr_filter filter;
const volatile struct tr_misuse misuse;

/* Which processes are known. Written by user space at attach and by the process programs; read at every hit. Full:
 * spaces_full. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, TR_MAX_PROCESSES);
  __type(key, __u32); /* tgid */
  __type(value, struct tr_process);
} processes SEC(".maps");

/* Address spaces by number; read by user space through a mapping. Full: spaces_full, the process is not traced. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, TR_MAX_SPACES);
  __type(key, __u32);
  __type(value, struct tr_space);
} spaces SEC(".maps");

/* By space; written when one begins, read by user space through a mapping. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, TR_MAX_SPACES);
  __type(key, __u32);
  __type(value, struct tr_origin);
} origins SEC(".maps");

/* Numbers to be used again: of spaces, stacks and chunks. release.bpf.h gives back what an ended space had; the kernel
 * half takes from here first. As large as what they are numbers of, so never full. */
struct {
  __uint(type, BPF_MAP_TYPE_STACK);
  __uint(max_entries, TR_MAX_SPACES);
  __type(value, __u32);
} free_spaces SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_STACK);
  __uint(max_entries, 1024);
  __type(value, __u32);
} free_stacks SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_STACK);
  __uint(max_entries, 1024);
  __type(value, __u32);
} free_chunks SEC(".maps");

/* Live blocks. Written by the heap programs only; user space removes those of address spaces that have ended. Full:
 * blocks_full. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, struct tr_block_key);
  __type(value, struct tr_block);
} blocks SEC(".maps");

/* Hash of a stack to its id. release.bpf.h removes those of ended spaces. Sized twice the stacks, so it is not full
 * before they are. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, __u64);
  __type(value, __u32);
} stack_ids SEC(".maps");

/* Stacks and their totals by id, and behind them one per space for what has no stack (no_stack_of). Full: stacks_full,
 * the totals go there. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1024);
  __type(key, __u32);
  __type(value, struct tr_stack);
} stacks SEC(".maps");

/* By stack id. Written once, before the stack can be found from its space; read by user space through a mapping. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1024);
  __type(key, __u32);
  __type(value, struct tr_stack_link);
} stack_links SEC(".maps");

/* Young blocks by stack id. Written by the heap programs; user space zeroes slots that come round. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1024);
  __type(key, __u32);
  __type(value, struct tr_young);
} young SEC(".maps");

/* Blocks of before the last pause, by stack id. Set by user space at its end, counted down by the heap programs. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1024);
  __type(key, __u32);
  __type(value, struct tr_unverified);
} unverified SEC(".maps");

/* The square of the standard error of the live bytes of a stack, by its id, in units of TR_VARIANCE_UNIT; 0 without
 * sampling. Written by the heap programs. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1024);
  __type(key, __u32);
  __type(value, __u64);
} variances SEC(".maps");

/* Page faults by stack id. Written by memory.bpf.h, read by user space through a mapping. Of one element unless faults
 * are followed. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} faults SEC(".maps");

/* The frames of stacks. Written before the stack's id is published. Full: stacks_full. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1024);
  __type(key, __u32);
  __type(value, struct tr_stack_chunk);
} stack_chunks SEC(".maps");

/* Which number a file has. Written when it is met for the first time; user space removes one whose content turns out to
 * be another. Full: further files share TR_MODULE_UNNUMBERED. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, TR_MAX_MODULES);
  __type(key, struct tr_file_key);
  __type(value, __u32);
} modules SEC(".maps");

/* Files by number; read by user space through a mapping. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, TR_MAX_MODULES);
  __type(key, __u32);
  __type(value, struct tr_module);
} module_info SEC(".maps");

/* Unwind tables by file number, their contents, and the rules that all of them share. Written by user space, read when
 * an address is met for the first time. Full: user space drops the table that was not used for the longest time. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, TR_MAX_MODULES);
  __type(key, __u32);
  __type(value, struct tr_table);
} tables SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1024);
  __type(key, __u32);
  __type(value, struct tr_words);
} unwind_words SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, TR_MAX_RULES);
  __type(key, __u32);
  __type(value, struct tr_rule);
} rules SEC(".maps");

/* Addresses that were looked up before, of all processes; entries drive each other out. Kernel half only. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1 << TR_PC_BITS);
  __type(key, __u32);
  __type(value, struct tr_pc);
} pcs SEC(".maps");

/* The mappings that were looked up last, by address space; entries drive each other out. Kernel half only. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, TR_RANGE_SETS* TR_RANGES);
  __type(key, __u32);
  __type(value, struct tr_range);
} ranges SEC(".maps");

/* Always empty: see keep_kernel_stack(). */
struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} no_programs SEC(".maps");

/*
 * A thread's state; see tr_thread. Task storage rather than per-CPU scratch: uprobe programs are preemptible, so two
 * threads can be inside the same program on one CPU. Freed by the kernel with the thread. No memory: thread_state.
 */
struct {
  __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct tr_thread);
} threads SEC(".maps");

/* Stacks that user space has to finish. Full: they end where the table was missing. */
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 2 * 1024 * 1024);
} raw_stacks SEC(".maps");

/* Library and process events to user space. Full: events_full; user space then reads everything anew. */
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 256 * 1024);
} events SEC(".maps");

/* struct tr_memory_event. Full: mappings_full. Of a page unless mappings are followed. */
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} memory_events SEC(".maps");

#endif
