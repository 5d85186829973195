/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The stack store: each distinct stack (files and offsets) of an address space once, found by a 64-bit hash and
 * verified by content, known by a dense id. Two different stacks under one hash are stored under neighbouring keys;
 * nothing is dropped for it.
 */
#ifndef TRACER_BPF_STACK_H
#define TRACER_BPF_STACK_H

#include "bpf/unwind.bpf.h"

/* Keys tried for one hash. With 64 bits and 10^6 stacks even a second one is a matter of 10^-8. */
#define TR_STACK_PROBES 4

TR_INLINE __u64 hash_stack(const struct tr_thread* t, __u32 space) {
  __u64 hash = mix(t->hash, (__u64)space << 32 | t->announcements);
  return mix(hash, (__u64)t->stack_end << 32 | t->frame_count);
}

TR_CHECKED_ONCE int is_same_stack(struct tr_thread* t, __u32 id, __u32 space) {
  struct tr_stack* stack = bpf_map_lookup_elem(&stacks, &id);
  if (!t || !stack) return false;
  if (stack->space != space || stack->end != t->stack_end || stack->frame_count != t->frame_count ||
      stack->announcements != t->announcements)
    return false;
  __u32 key = stack->first_chunk;
  for (__u32 c = 0; c < TR_MAX_CHUNKS; c++) {
    if (c * TR_CHUNK_FRAMES >= t->frame_count) break;
    const struct tr_stack_chunk* chunk = bpf_map_lookup_elem(&stack_chunks, &key);
    if (!chunk) return false;
    for (__u32 i = 0; i < TR_CHUNK_FRAMES; i++) {
      __u32 n = c * TR_CHUNK_FRAMES + i;
      if (n >= t->frame_count) break;
      if (chunk->frame[i] != t->frames[n & (TR_MAX_FRAMES - 1)]) return false;
    }
    key = chunk->next;
  }
  return true;
}

/* The number of a chunk, or TR_NO_CHUNK. */
#define TR_NO_CHUNK (~0U)
TR_INLINE __u32 reserve_chunk(void) {
  __u32 used_before = 0;
  if (!bpf_map_pop_elem(&free_chunks, &used_before)) return used_before;
  if (globals.next_chunk >= config.max_chunks) return TR_NO_CHUNK;
  __u32 id = __sync_fetch_and_add(&globals.next_chunk, 1);
  return id < config.max_chunks ? id : TR_NO_CHUNK;
}

/* Gives back a chain of `count` chunks. */
TR_CHECKED_ONCE int free_frames(__u32 first, __u32 count) {
  for (__u32 c = 0; c < TR_MAX_CHUNKS; c++) {
    if (c >= count) break;
    const struct tr_stack_chunk* chunk = bpf_map_lookup_elem(&stack_chunks, &first);
    if (!chunk) break;
    __u32 next = chunk->next;
    bpf_map_push_elem(&free_chunks, &first, BPF_ANY);
    first = next;
  }
  return 0;
}

/* One for a stack without frames, too. */
TR_INLINE __u32 chunks_of(__u32 frame_count) {
  return frame_count ? (frame_count + TR_CHUNK_FRAMES - 1) / TR_CHUNK_FRAMES : 1;
}

/* Copies the frames into a chain of chunks, the last one first; the number of the first one, or TR_NO_CHUNK when the
 * store is full. */
TR_CHECKED_ONCE __u32 store_frames(struct tr_thread* t) {
  if (!t) return TR_NO_CHUNK;
  __u32 needed = chunks_of(t->frame_count);
  __u32 first = TR_NO_CHUNK;
  for (__u32 c = 0; c < TR_MAX_CHUNKS; c++) {
    if (c >= needed) break;
    __u32 key = reserve_chunk();
    struct tr_stack_chunk* chunk = bpf_map_lookup_elem(&stack_chunks, &key);
    if (!chunk) {
      free_frames(first, c);
      return TR_NO_CHUNK;
    }
    __u32 from = (needed - 1 - c) * TR_CHUNK_FRAMES;
    for (__u32 i = 0; i < TR_CHUNK_FRAMES; i++) chunk->frame[i] = t->frames[(from + i) & (TR_MAX_FRAMES - 1)];
    chunk->next = first;
    first = key;
  }
  return first;
}

/* Enters a stack that is complete into the list of its space's. Tried until no other thread comes in between; the bound
 * is for the verifier. */
#define TR_LINK_TRIES 1024
TR_CHECKED_ONCE int link_stack(__u32 space_id, __u32 id) {
  struct tr_space* space = find_space(space_id);
  struct tr_stack_link* link = bpf_map_lookup_elem(&stack_links, &id);
  if (!space || !link) return false;
  for (int i = 0; i < TR_LINK_TRIES; i++) {
    __u32 newest = space->newest_stack;
    link->older = newest;
    if (__sync_val_compare_and_swap(&space->newest_stack, newest, id) == newest) return true;
  }
  return false;
}

/* Stores the thread's stack under `key`. Returns its id, or TR_NO_STACK when the store is full or another thread was
 * faster (*again is set). */
TR_INLINE __u32 store_stack(struct tr_thread* t, __u64 key, __u32 space, bool* again) {
  __u32 id = reserve_stack_id();
  struct tr_stack* stack = bpf_map_lookup_elem(&stacks, &id);
  if (!stack || id == TR_NO_STACK) return TR_NO_STACK;
  __u32 first = store_frames(t);
  if (first == TR_NO_CHUNK) {
    bpf_map_push_elem(&free_stacks, &id, BPF_ANY);
    return TR_NO_STACK;
  }
  stack->hash = key;
  stack->first_chunk = first;
  stack->frame_count = t->frame_count;
  stack->end = t->stack_end;
  stack->announcements = t->announcements;
  stack->space = space;
  if (bpf_map_update_elem(&stack_ids, &key, &id, BPF_NOEXIST)) {
    stack->space = 0;
    free_frames(first, chunks_of(t->frame_count));
    bpf_map_push_elem(&free_stacks, &id, BPF_ANY);
    *again = true;
    return TR_NO_STACK;
  }
  if (!link_stack(space, id)) lose(TR_LOSS_STACKS_FULL);
  /* Of a whole machine there are too many to wake user space up for each; it looks ten times a second. */
  if (!config.all) emit(TR_EVENT_STACK, current_tgid(), space, id);
  return id;
}

/* How many pieces of the stack are worth a copy: the first thread's stack has an end that the kernel knows. */
TR_INLINE __u32 pieces_of_stack(__u64 start) {
  struct mm_struct* mm = bpf_get_current_task_btf()->mm;
  __u64 end = mm ? mm->start_stack : 0;
  if (end <= start || end - start >= TR_RAW_PIECES * TR_RAW_PIECE) return TR_RAW_PIECES;
  return (__u32)((end - start) / TR_RAW_PIECE) + 1;
}

/* Copies the stack behind the record's head. Pieces lie within a page each, so that one that is not there spoils no
 * other. */
TR_INLINE void copy_stack(const struct bpf_dynptr* record, struct tr_raw_stack* raw) {
  raw->size = 0;
  for (__u32 i = 0; i < TR_RAW_PIECES; i++) {
    void* piece = bpf_dynptr_data(record, sizeof(*raw) + i * TR_RAW_PIECE, TR_RAW_PIECE);
    if (!piece || bpf_probe_read_user(piece, TR_RAW_PIECE, (const void*)(raw->start + i * TR_RAW_PIECE))) break;
    raw->size += TR_RAW_PIECE;
  }
}

/* Fills the record; the id of the stack. TR_NO_STACK: the record is worth nothing. */
TR_INLINE __u32 fill_raw_stack(const struct bpf_dynptr* record, __u64 start, struct tr_thread* t) {
  struct tr_raw_stack* raw = bpf_dynptr_data(record, 0, sizeof(*raw));
  if (!raw) return TR_NO_STACK;
  struct tr_space* space = find_space(t->space);
  __u64 key = mix(hash_stack(t, t->space), bpf_ktime_get_ns());
  bool again = false;
  raw->walk = t->walk;
  raw->start = start;
  copy_stack(record, raw);
  t->announcements = space ? space->announcements : 0;
  t->stack_end = TR_END_NO_TABLE | TR_END_RAW;
  __u32 id = store_stack(t, key, t->space, &again);
  raw->stack_id = id;
  if (id != TR_NO_STACK) return id;
  t->announcements = 0;
  t->stack_end = TR_END_NO_TABLE;
  return TR_NO_STACK;
}

/* A new id for a stack that is not known to its end, with what user space needs to finish it. TR_NO_STACK when there is
 * no room. */
TR_CHECKED_ONCE __u32 raw_stack_id(struct tr_thread* t) {
  if (!t || globals.raw_stacks >= config.max_stacks / TR_STACKS_PER_RAW) return TR_NO_STACK;
  struct bpf_dynptr record;
  __u32 id = TR_NO_STACK;
  __u64 start = t->walk.sp & ~(TR_RAW_PIECE - 1ULL);
  __u32 size = sizeof(struct tr_raw_stack) + pieces_of_stack(start) * TR_RAW_PIECE;
  if (!bpf_ringbuf_reserve_dynptr(&raw_stacks, size, 0, &record)) id = fill_raw_stack(&record, start, t);
  /* Also a reservation that has failed has to be given back. */
  if (id == TR_NO_STACK) {
    bpf_ringbuf_discard_dynptr(&record, 0);
    return TR_NO_STACK;
  }
  bpf_ringbuf_submit_dynptr(&record, 0);
  __sync_fetch_and_add(&globals.raw_stacks, 1);
  return id;
}

/* The id under which the stack in `t` is accounted: its own, or no_stack_of() its space (counted as lost by reason). */
TR_CHECKED_ONCE __u32 stack_id_of(struct tr_thread* t) {
  if (!t) return TR_NO_STACK;
  if (t->stack_end == TR_END_NO_TABLE) {
    __u32 raw = raw_stack_id(t);
    if (raw != TR_NO_STACK) return raw;
  }
  __u32 space = t->space;
  __u64 key = hash_stack(t, space);
  /* A key is tried again when another thread has just stored a stack there. */
  for (int probe = 0; probe < 2 * TR_STACK_PROBES; probe++) {
    __u32* id = bpf_map_lookup_elem(&stack_ids, &key);
    if (id) {
      __u32 found = *id;
      if (is_same_stack(t, found, space)) return found;
      key++;
      continue;
    }
    bool again = false;
    __u32 stored = store_stack(t, key, space, &again);
    if (stored != TR_NO_STACK) return stored;
    if (!again) {
      lose(TR_LOSS_STACKS_FULL);
      return no_stack_of(space);
    }
  }
  lose(TR_LOSS_STACK_COLLISION);
  return no_stack_of(space);
}

#endif
