/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * When all processes are traced: a process becomes known at its first allocation, whenever it has begun. Then, and
 * again after an exec, the filters are asked whether it is wanted; one that is not costs a look-up per call from then
 * on.
 */
#ifndef TRACER_BPF_ADOPT_H
#define TRACER_BPF_ADOPT_H

#include "bpf/space.bpf.h"

/* Every step moves on in the name, or in the pattern, or moves the last star's end on. */
#define TR_GLOB_STEPS (TR_COMM * (TR_COMM_GLOB + 2))

/* A name that is being compared with an entry of the filter: * is any text, ? any character. */
struct tr_glob {
  char name[TR_COMM];
  __u32 entry;
  __u32 at;     /* in the name */
  __u32 next;   /* in the pattern */
  __u32 star;   /* behind the last star, 0 for none */
  __u32 resume; /* where in the name it ends, for now */
  __u32 matches;
};

static long glob_step(__u32 i, struct tr_glob* glob) {
  (void)i;
  if (glob->entry >= TR_FILTER_ENTRIES) return 1;
  char wanted = glob->next < TR_COMM_GLOB ? filter.comm[glob->entry][glob->next & (TR_COMM_GLOB - 1)] : 0;
  char is = glob->at < TR_COMM ? glob->name[glob->at & (TR_COMM - 1)] : 0;
  if (wanted == '*') {
    glob->star = ++glob->next;
    glob->resume = glob->at;
  } else if (is && (wanted == '?' || wanted == is)) {
    glob->at++;
    glob->next++;
  } else if (!is || !glob->star) {
    glob->matches = !is && !wanted;
    return 1;
  } else {
    glob->next = glob->star;
    glob->at = ++glob->resume;
  }
  return 0;
}

TR_CHECKED_ONCE int passes_comm(struct tr_origin* origin) {
  if (!origin) return false;
  for (__u32 i = 0; i < TR_FILTER_ENTRIES; i++) {
    if (i >= filter.comm_count) break;
    struct tr_glob glob = {.entry = i};
    __builtin_memcpy(glob.name, origin->comm, sizeof(glob.name));
    bpf_loop(TR_GLOB_STEPS, glob_step, &glob, 0);
    if (glob.matches) return true;
  }
  return filter.comm_count == 0;
}

TR_CHECKED_ONCE int passes_uid(__u32 uid) {
  for (__u32 i = 0; i < TR_FILTER_ENTRIES; i++) {
    if (i >= filter.uid_count) break;
    if (filter.uid[i] == uid) return true;
  }
  return filter.uid_count == 0;
}

TR_CHECKED_ONCE int passes_cgroup(void) {
  for (__u32 i = 0; i < TR_FILTER_ENTRIES; i++) {
    if (i >= filter.cgroup_count) break;
    if (bpf_get_current_ancestor_cgroup_id((int)filter.cgroup_level[i]) == filter.cgroup_id[i]) return true;
  }
  return filter.cgroup_count == 0;
}

TR_INLINE bool passes_pid_namespace(void) {
  struct bpf_pidns_info here;
  if (!filter.has_pid_namespace) return true;
  return !bpf_get_ns_current_pid_tgid(filter.pid_namespace_device, filter.pid_namespace_inode, &here, sizeof(here));
}

TR_INLINE bool is_wanted(struct tr_origin* origin) {
  return passes_comm(origin) && passes_uid(origin->uid) && passes_cgroup() && passes_pid_namespace();
}

/* Begins to trace the current process, or not to; the number of its address space, 0 for none. */
TR_CHECKED_ONCE __u32 adopt_current(void) {
  __u32 tgid = current_tgid();
  struct tr_origin origin = {};
  describe_origin(&origin, bpf_get_current_task_btf());
  struct tr_process process = {};
  if (is_wanted(&origin)) {
    process.space = begin_space(tgid, 0, &origin);
    if (!process.space) return 0;
  }
  long error = bpf_map_update_elem(&processes, &tgid, &process, BPF_NOEXIST);
  if (!error) {
    if (process.space) emit(TR_EVENT_ADOPT, tgid, process.space, origin.parent_tgid);
    return process.space;
  }
  /* Another thread was faster, or there is no room. */
  if (process.space) {
    leave_space(process.space);
    bpf_map_push_elem(&free_spaces, &process.space, BPF_ANY);
  }
  struct tr_process* known = find_process(tgid);
  if (!known) lose(TR_LOSS_SPACES_FULL);
  return known ? known->space : 0;
}

/* The address space that the current process is traced in, 0 when it is not. */
TR_INLINE __u32 space_of_current(void) {
  struct tr_process* process = find_process(current_tgid());
  if (process) return process->space;
  return config.all ? adopt_current() : 0;
}

#endif
