/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Gives back what an ended address space had, when user space has taken stock of it: its stacks, their frames, and its
 * number. Nobody is in the space any more, so nothing of it is in use by another program. Its live blocks stay: they
 * carry its serial, so nobody takes them for another space's, and user space removes them when there are many.
 */
#ifndef TRACER_BPF_RELEASE_H
#define TRACER_BPF_RELEASE_H

#include "bpf/stack.bpf.h"

/* In place: the program's own stack is too small for what is cleared. */
#define TR_CLEAR(map, key)                                           \
  {                                                                  \
    void* element = bpf_map_lookup_elem(&(map), &(key));             \
    if (element) __builtin_memset(element, 0, sizeof(*(map).value)); \
  }

TR_INLINE void clear_totals(__u32 stack_id) {
  TR_CLEAR(stacks, stack_id);
  TR_CLEAR(young, stack_id);
  TR_CLEAR(unverified, stack_id);
  TR_CLEAR(variances, stack_id);
  TR_CLEAR(faults, stack_id);
}

struct tr_releasing {
  __u32 next; /* the stack to be given back next */
  __u32 count;
};

static long release_stack(__u32 i, struct tr_releasing* at) {
  (void)i;
  __u32 id = at->next;
  struct tr_stack* stack = bpf_map_lookup_elem(&stacks, &id);
  struct tr_stack_link* link = bpf_map_lookup_elem(&stack_links, &id);
  if (id == TR_NO_STACK || !stack || !link) return 1;
  at->next = link->older;
  at->count++;
  __u64 key = stack->hash;
  bpf_map_delete_elem(&stack_ids, &key);
  free_frames(stack->first_chunk, chunks_of(stack->frame_count));
  clear_totals(id);
  bpf_map_push_elem(&free_stacks, &id, BPF_ANY);
  return 0;
}

/* How many stacks it had; negative when somebody is in it. */
TR_INLINE int release_space(__u32 id) {
  struct tr_space* space = find_space(id);
  if (!space || !id || space->users) return -1;
  struct tr_releasing at = {.next = space->newest_stack};
  bpf_loop(config.max_stacks, release_stack, &at, 0);
  clear_totals(no_stack_of(id));
  TR_CLEAR(origins, id);
  __builtin_memset(space, 0, sizeof(*space));
  bpf_map_push_elem(&free_spaces, &id, BPF_ANY);
  return (int)at.count;
}

#endif
