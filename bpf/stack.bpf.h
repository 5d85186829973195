/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The stack store: each distinct stack of an address space once, found by a 64-bit hash and verified by content, known
 * by a dense id. Two different stacks under one hash are stored under neighbouring keys; nothing is dropped for it.
 */
#ifndef TRACER_BPF_STACK_H
#define TRACER_BPF_STACK_H

#include "bpf/space.bpf.h"

/* Keys tried for one hash. With 64 bits and 10^6 stacks even a second one is a matter of 10^-8. */
#define TR_STACK_PROBES 4

TR_INLINE __u64 mix(__u64 hash, __u64 value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL;
  return hash ^ (hash >> 32);
}

TR_INLINE __u64 hash_stack(const struct tr_thread* t, __u32 space, __u32 epoch) {
  __u64 hash = mix((__u64)space << 32 | epoch, t->frame_count);
  for (__u32 i = 0; i < TR_MAX_FRAMES; i++) {
    if (i >= t->frame_count) break;
    hash = mix(hash, t->frames[i]);
  }
  return hash;
}

TR_INLINE bool is_same_stack(const struct tr_stack* stack, const struct tr_thread* t, __u32 space, __u32 epoch) {
  if (stack->space != space || stack->epoch != epoch || stack->frame_count != t->frame_count) return false;
  for (__u32 c = 0; c < TR_MAX_CHUNKS; c++) {
    if (c * TR_CHUNK_FRAMES >= t->frame_count) break;
    __u32 key = stack->first_chunk + c;
    const struct tr_stack_chunk* chunk = bpf_map_lookup_elem(&stack_chunks, &key);
    if (!chunk) return false;
    for (__u32 i = 0; i < TR_CHUNK_FRAMES; i++) {
      if (c * TR_CHUNK_FRAMES + i >= t->frame_count) break;
      if (chunk->address[i] != t->frames[c * TR_CHUNK_FRAMES + i]) return false;
    }
  }
  return true;
}

/* Copies the frames into new chunks; the number of the first one, or ~0 when the store is full. */
TR_INLINE __u32 store_frames(const struct tr_thread* t) {
  __u32 needed = (t->frame_count + TR_CHUNK_FRAMES - 1) / TR_CHUNK_FRAMES;
  if (globals.next_chunk + needed > config.max_chunks) return ~0U;
  __u32 first = __sync_fetch_and_add(&globals.next_chunk, needed);
  for (__u32 c = 0; c < TR_MAX_CHUNKS; c++) {
    if (c >= needed) break;
    __u32 key = first + c;
    struct tr_stack_chunk* chunk = bpf_map_lookup_elem(&stack_chunks, &key);
    if (!chunk) return ~0U;
    for (__u32 i = 0; i < TR_CHUNK_FRAMES; i++) chunk->address[i] = t->frames[c * TR_CHUNK_FRAMES + i];
  }
  return first;
}

/* Stores the thread's stack under `key`. Returns its id, or TR_NO_STACK when the store is full or another thread was
 * faster (*again is set). */
TR_INLINE __u32 store_stack(struct tr_thread* t, __u64 key, __u32 space, __u32 epoch, bool* again) {
  __u32 id = t->spare_stack ? t->spare_stack : reserve_stack_id();
  struct tr_stack* stack = bpf_map_lookup_elem(&stacks, &id);
  if (!stack || id == TR_NO_STACK) return TR_NO_STACK;
  t->spare_stack = id;
  __u32 first = store_frames(t);
  if (first == ~0U) return TR_NO_STACK;
  stack->hash = key;
  stack->first_chunk = first;
  stack->frame_count = t->frame_count;
  stack->end = t->stack_end;
  stack->epoch = epoch;
  stack->space = space;
  if (bpf_map_update_elem(&stack_ids, &key, &id, BPF_NOEXIST)) {
    stack->space = 0;
    *again = true;
    return TR_NO_STACK;
  }
  t->spare_stack = 0;
  emit(TR_EVENT_STACK, current_tgid(), space, id);
  return id;
}

/* The id under which the stack in `t` is accounted: its own, or the space's no_stack (counted as lost by reason). */
TR_INLINE __u32 stack_id_of(struct tr_thread* t, const struct tr_space* space, __u32 space_id) {
  __u32 epoch = space->epoch;
  __u64 key = hash_stack(t, space_id, epoch);
  /* Each key is tried twice at most: the second time when another thread has just stored a stack there. */
  for (int probe = 0; probe < 2 * TR_STACK_PROBES; probe++) {
    __u32* id = bpf_map_lookup_elem(&stack_ids, &key);
    if (id) {
      __u32 found = *id;
      struct tr_stack* stack = bpf_map_lookup_elem(&stacks, &found);
      if (stack && is_same_stack(stack, t, space_id, epoch)) return found;
      key++;
      continue;
    }
    bool again = false;
    __u32 stored = store_stack(t, key, space_id, epoch, &again);
    if (stored != TR_NO_STACK) return stored;
    if (!again) {
      lose(TR_LOSS_STACKS_FULL);
      return space->no_stack;
    }
  }
  lose(TR_LOSS_STACK_COLLISION);
  return space->no_stack;
}

#endif
