/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The books: live blocks, totals per stack, live and peak bytes per address space. */
#ifndef TRACER_BPF_ACCOUNT_H
#define TRACER_BPF_ACCOUNT_H

#include "bpf/sample.bpf.h"

/* Attempts to raise the peak against other threads that raise it at the same instant. */
#define TR_PEAK_TRIES 16

TR_INLINE bool is_young(__u32 generation) { return globals.generation - generation < TR_YOUNG_WINDOW; }

TR_INLINE void change_live_bytes(struct tr_space* space, __s64 delta) {
  __u64 live = __sync_fetch_and_add(&space->live_bytes, delta) + delta;
  if (delta <= 0) return;
  for (int i = 0; i < TR_PEAK_TRIES; i++) {
    __u64 peak = space->peak_bytes;
    if (live <= peak) break;
    if (__sync_val_compare_and_swap(&space->peak_bytes, peak, live) == peak) break;
  }
}

TR_INLINE void add_young(__u32 stack_id, __u32 generation, __u64 units, __u64 bytes) {
  if (!is_young(generation)) return;
  struct tr_young* entry = bpf_map_lookup_elem(&young, &stack_id);
  if (!entry) return;
  __u32 slot = generation & (TR_YOUNG_SLOTS - 1);
  __sync_fetch_and_add(&entry->units[slot], units);
  __sync_fetch_and_add(&entry->bytes[slot], bytes);
}

/* The block may have been freed during a pause and have come back: it is in user space's account of those. */
TR_INLINE bool is_unverified(const struct tr_block* block) { return block->pause != (globals.pause & 0xffff); }

TR_INLINE void account_unverified(__u32 stack_id, const struct tr_weight* weight) {
  struct tr_unverified* entry = bpf_map_lookup_elem(&unverified, &stack_id);
  if (!entry) return;
  __sync_fetch_and_add(&entry->units, -weight->units);
  __sync_fetch_and_add(&entry->bytes, -weight->bytes);
}

/* A block was freed, and is out of `blocks` already. Returns the bytes that it stood for: live bytes of the space are
 * the caller's business. */
TR_INLINE __u64 account_free(const struct tr_block* block) {
  __u32 stack_id = block->stack_id;
  struct tr_weight weight = weight_of(block);
  struct tr_stack* stack = bpf_map_lookup_elem(&stacks, &stack_id);
  if (!stack) return weight.bytes;
  __sync_fetch_and_add(&stack->free_units, weight.units);
  __sync_fetch_and_add(&stack->free_bytes, weight.bytes);
  __sync_fetch_and_add(&stack->birth_ticks, -weight.birth_ticks);
  add_variance(stack_id, -weight.variance);
  add_young(stack_id, block->generation, -weight.units, -weight.bytes);
  if (is_unverified(block)) account_unverified(stack_id, &weight);
  return weight.bytes;
}

/* A block was entered into `blocks`. Returns the bytes that it stands for. */
TR_INLINE __u64 account_alloc(const struct tr_block* block) {
  __u32 stack_id = block->stack_id;
  struct tr_weight weight = weight_of(block);
  struct tr_stack* stack = bpf_map_lookup_elem(&stacks, &stack_id);
  if (!stack) return weight.bytes;
  __sync_fetch_and_add(&stack->alloc_units, weight.units);
  __sync_fetch_and_add(&stack->alloc_bytes, weight.bytes);
  __sync_fetch_and_add(&stack->birth_ticks, weight.birth_ticks);
  add_variance(stack_id, weight.variance);
  add_young(stack_id, block->generation, weight.units, weight.bytes);
  return weight.bytes;
}

/* Takes a block out of the books of live blocks. False when it is not in them. */
TR_INLINE bool take_block(const struct tr_block_key* key, struct tr_block* out) {
  struct tr_block* block = bpf_map_lookup_elem(&blocks, key);
  if (!block) return false;
  /* Copied before the removal: afterwards the element may hold another block. */
  *out = *block;
  return bpf_map_delete_elem(&blocks, key) == 0;
}

/* The allocator hands out this address: if our books hold it as live, we did not see its free. That is a loss unless it
 * was freed during a pause. False when they do not. */
TR_INLINE bool miss_free(struct tr_space* space, const struct tr_block_key* key) {
  struct tr_block old;
  if (!take_block(key, &old)) return false;
  if (!is_unverified(&old)) lose(TR_LOSS_FREE_MISSED);
  change_live_bytes(space, -account_free(&old));
  return true;
}

/* Enters a block and returns the bytes that it stands for. None when the table is full: nothing is accounted then but
 * the loss. */
TR_INLINE __u64 enter_block(struct tr_space* space, const struct tr_block_key* key, const struct tr_block* block) {
  long error = bpf_map_update_elem(&blocks, key, block, BPF_NOEXIST);
  if (error && miss_free(space, key)) error = bpf_map_update_elem(&blocks, key, block, BPF_NOEXIST);
  if (error) {
    lose(TR_LOSS_BLOCKS_FULL);
    return 0;
  }
  return account_alloc(block);
}

#endif
