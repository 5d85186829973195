/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Losses, events, address spaces and who is in them. */
#ifndef TRACER_BPF_SPACE_H
#define TRACER_BPF_SPACE_H

#include "bpf/maps.bpf.h"

TR_INLINE void lose(enum tr_loss reason) { __sync_fetch_and_add(&globals.losses[reason], 1); }

TR_INLINE void emit(enum tr_event_type type, __u32 tgid, __u32 space, __u32 value) {
  struct tr_event* event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
  if (!event) {
    /* A stored stack is found again by its number, so only its wake-up is missing. */
    if (type != TR_EVENT_STACK) lose(TR_LOSS_EVENTS_FULL);
    return;
  }
  event->type = type;
  event->tgid = tgid;
  event->space = space;
  event->value = value;
  event->time_ns = bpf_ktime_get_ns();
  bpf_ringbuf_submit(event, 0);
}

TR_INLINE __u64 mix(__u64 hash, __u64 value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL;
  return hash ^ (hash >> 32);
}

TR_INLINE __u32 current_tgid(void) { return (__u32)(bpf_get_current_pid_tgid() >> 32); }

TR_INLINE struct tr_process* find_process(__u32 tgid) { return bpf_map_lookup_elem(&processes, &tgid); }

TR_INLINE struct tr_space* find_space(__u32 space) { return bpf_map_lookup_elem(&spaces, &space); }

/* The stack id that takes what has no stack of its own. */
TR_INLINE __u32 no_stack_of(__u32 space) { return config.max_stacks + space; }

/* Reserves a stack id; TR_NO_STACK when all are used. */
TR_INLINE __u32 reserve_stack_id(void) {
  __u32 used_before = TR_NO_STACK;
  if (!bpf_map_pop_elem(&free_stacks, &used_before)) return used_before;
  /* Looked at first, so that the counter cannot wrap in a run that goes on losing for weeks. */
  if (globals.next_stack >= config.max_stacks) return TR_NO_STACK;
  __u32 id = __sync_fetch_and_add(&globals.next_stack, 1);
  return id < config.max_stacks ? id : TR_NO_STACK;
}

TR_INLINE __u32 reserve_space(void) {
  __u32 used_before = 0;
  if (!bpf_map_pop_elem(&free_spaces, &used_before)) return used_before;
  return globals.next_space < TR_MAX_SPACES ? __sync_fetch_and_add(&globals.next_space, 1) : TR_MAX_SPACES;
}

/* `task`: in the current one's user and cgroup. */
TR_INLINE void describe_origin(struct tr_origin* origin, struct task_struct* task) {
  /* The name of the first thread is that of the process. */
  struct task_struct* leader = BPF_CORE_READ(task, group_leader);
  origin->cgroup_id = bpf_get_current_cgroup_id();
  origin->started_ns = BPF_CORE_READ(leader, start_boottime);
  origin->uid = (__u32)bpf_get_current_uid_gid();
  origin->parent_tgid = (__u32)BPF_CORE_READ(task, real_parent, tgid);
  bpf_probe_read_kernel(origin->comm, sizeof(origin->comm), leader->comm);
}

/* Begins an address space for `tgid`; 0 when there is no room. */
TR_INLINE __u32 begin_space(__u32 tgid, __u32 parent, const struct tr_origin* origin) {
  __u32 id = reserve_space();
  struct tr_space* space = find_space(id);
  if (!space) {
    lose(TR_LOSS_SPACES_FULL);
    return 0;
  }
  space->serial = __sync_fetch_and_add(&globals.next_serial, 1);
  space->tgid = tgid;
  space->users = 1;
  space->parent = parent;
  bpf_map_update_elem(&origins, &id, origin, BPF_ANY);
  space->sample_level = config.sample_level;
  space->sampled = config.sample_level != 0;
  return id;
}

TR_INLINE void leave_space(__u32 id) {
  struct tr_space* space = find_space(id);
  if (space) __sync_fetch_and_add(&space->users, -1);
}

#endif
