/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Blocks that are given back as they must not be: by a function of another kind than they came from, twice, or by an
 * address inside of them. Only what the books are sure of is told, so a block of before the trace is never an alarm.
 *
 * libstdc++'s operators call malloc and free, and it is these calls that are counted. What kind they are is known from
 * a mark that the operator leaves in the thread: a probe at its entry, which changes nothing else.
 */
#ifndef TRACER_BPF_MISUSE_H
#define TRACER_BPF_MISUSE_H

#include "bpf/account.bpf.h"
#include "bpf/stack.bpf.h"

/* How far below the operator's entry the function that it calls may be. */
#define TR_MARK_REACH 4096

struct tr_freed {
  __u32 alloc_stack;
  __u32 free_stack;
  __u64 size;
  __u64 losses; /* sum of all at that time: where events were lost since, the address may be another block's */
};

/* Of freed blocks, those freed last. Written by the heap programs. Full: the oldest are forgotten. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 1);
  __type(key, struct tr_block_key);
  __type(value, struct tr_freed);
} freed_blocks SEC(".maps");

/* What has been found, read by user space. Full: anomalies_full. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);
  __type(key, struct tr_anomaly_key);
  __type(value, struct tr_anomaly);
} anomalies SEC(".maps");

TR_INLINE __u64 sum_of_losses(void) {
  __u64 sum = 0;
  for (int i = 0; i < TR_LOSS_COUNT; i++) sum += globals.losses[i];
  return sum;
}

TR_INLINE void tell_anomaly(const struct tr_anomaly_key* key, const struct tr_anomaly* first) {
  struct tr_anomaly* known = bpf_map_lookup_elem(&anomalies, key);
  if (!known) {
    long error = bpf_map_update_elem(&anomalies, key, first, BPF_NOEXIST);
    if (!error) return;
    known = error == -TR_EEXIST ? bpf_map_lookup_elem(&anomalies, key) : (void*)0;
  }
  if (known)
    __sync_fetch_and_add(&known->count, 1);
  else
    lose(TR_LOSS_ANOMALIES_FULL);
}

/* An operator is entered, which will call a function that is counted. `value`: the size that it will ask for, or the
 * block. Of operators that call each other the outermost is meant. */
TR_INLINE void leave_mark(struct tr_thread* t, __u64 cookie, __u64 value, __u64 sp) {
  bool is_inner = t->mark_sp >= sp && t->mark_sp - sp < TR_MARK_REACH && t->mark_value == value &&
                  t->mark_is_free == TR_COOKIE_IS_FREE(cookie);
  if (is_inner) return;
  t->mark_sp = sp;
  t->mark_value = value;
  t->mark_is_free = TR_COOKIE_IS_FREE(cookie);
  t->mark_kind = TR_COOKIE_KIND(cookie);
}

/* The kind of a call: its own, or that of the operator that makes it. */
TR_INLINE __u32 kind_of_call(struct tr_thread* t, __u64 cookie, bool is_free, __u64 value, __u64 sp) {
  bool is_marked =
      t->mark_sp >= sp && t->mark_sp - sp < TR_MARK_REACH && t->mark_value == value && t->mark_is_free == is_free;
  t->mark_sp = 0;
  return is_marked ? t->mark_kind : TR_COOKIE_KIND(cookie);
}

TR_INLINE void remember_freed(const struct tr_block_key* key, const struct tr_block* block, __u32 free_stack) {
  struct tr_freed freed = {
      .alloc_stack = block->stack_id, .free_stack = free_stack, .size = block->size, .losses = sum_of_losses()};
  bpf_map_update_elem(&freed_blocks, key, &freed, BPF_ANY);
}

/* A block leaves the books, by a call of `kind` from `free_stack`. */
TR_CHECKED_ONCE int check_freed(const struct tr_block_key* key, const struct tr_block* block, __u32 kind,
                                __u32 free_stack) {
  if (!key || !block) return 0;
  struct tr_block_key own = *key; /* Linux 6.1 takes no argument for the key of a map */
  remember_freed(&own, block, free_stack);
  if (block->kind == kind || block->kind == TR_KIND_ANY || kind == TR_KIND_ANY) return 0;
  struct tr_anomaly_key found = {.type = TR_ANOMALY_MISMATCH,
                                 .space = key->space,
                                 .serial = key->serial,
                                 .stack_id = free_stack,
                                 .alloc_stack = block->stack_id,
                                 .alloc_kind = block->kind,
                                 .free_kind = kind};
  struct tr_anomaly first = {.count = 1, .address = key->address, .size = block->size};
  tell_anomaly(&found, &first);
  return 0;
}

struct tr_inside {
  struct tr_block_key key;
  struct tr_block block;
  __u32 is_found;
};

static long look_before(__u32 i, struct tr_inside* search) {
  (void)i;
  struct tr_block* block = bpf_map_lookup_elem(&blocks, &search->key);
  if (block) {
    search->block = *block;
    search->is_found = 1;
    return 1;
  }
  search->key.address -= TR_BLOCK_STEP;
  return 0;
}

/* An address is given back that is no block in the books. True: that is misuse, described in t->found and t->first but
 * for its stack. */
TR_CHECKED_ONCE int check_unknown(struct tr_thread* t, const struct tr_block_key* key) {
  if (!t || !key) return false;
  struct tr_block_key own = *key; /* as in check_freed() */
  struct tr_anomaly_key found = {.space = key->space, .serial = key->serial};
  struct tr_anomaly first = {.count = 1, .address = key->address};
  struct tr_freed* freed = bpf_map_lookup_elem(&freed_blocks, &own);
  if (freed) {
    if (freed->losses != sum_of_losses()) return false;
    found.type = TR_ANOMALY_DOUBLE_FREE;
    found.alloc_stack = freed->alloc_stack;
    found.first_free = freed->free_stack;
    first.size = freed->size;
  } else {
    struct tr_inside search = {.key = *key};
    search.key.address &= ~(TR_BLOCK_STEP - 1ULL);
    bpf_loop(TR_INSIDE_STEPS, look_before, &search, 0);
    first.offset = key->address - search.key.address;
    if (!search.is_found || first.offset >= search.block.size || is_unverified(&search.block)) return false;
    found.type = TR_ANOMALY_INSIDE;
    found.alloc_stack = search.block.stack_id;
    first.size = search.block.size;
  }
  t->found = found;
  t->first = first;
  return true;
}

/* An address is a block again. */
TR_INLINE void forget_freed(const struct tr_block_key* key) {
  if (misuse.watched) bpf_map_delete_elem(&freed_blocks, key);
}

#endif
