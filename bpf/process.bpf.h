/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fork, exec and exit of traced processes: fork copies the heap, vfork shares it, exec ends it. */
#ifndef TRACER_BPF_PROCESS_H
#define TRACER_BPF_PROCESS_H

#include "bpf/space.bpf.h"

#define TR_SIGSTOP 19

/* Called in the parent, before the child runs. */
TR_INLINE void process_forked(struct task_struct* parent, struct task_struct* child) {
  __u32 parent_tgid = BPF_CORE_READ(parent, tgid);
  __u32 child_tgid = BPF_CORE_READ(child, tgid);
  if (parent_tgid == child_tgid) return; /* a thread */
  struct tr_process* process = find_process(parent_tgid);
  if (!process || !process->space) return;

  struct tr_process born = {.space = process->space};
  if (BPF_CORE_READ(parent, mm) == BPF_CORE_READ(child, mm)) {
    struct tr_space* space = find_space(born.space);
    if (space) __sync_fetch_and_add(&space->users, 1);
  } else {
    /* When all are traced, a child becomes known when it allocates. */
    if (!config.follow || config.all) return;
    struct tr_origin origin = {};
    describe_origin(&origin, child);
    born.space = begin_space(child_tgid, process->space, &origin);
    if (!born.space) return;
  }
  if (bpf_map_update_elem(&processes, &child_tgid, &born, BPF_ANY)) {
    lose(TR_LOSS_SPACES_FULL);
    leave_space(born.space);
    return;
  }
  emit(TR_EVENT_FORK, child_tgid, born.space, parent_tgid);
}

/* Called in the process, with its new image in place and none of it run yet. */
TR_INLINE void process_executed(void) {
  __u32 tgid = current_tgid();
  struct tr_process* process = find_process(tgid);
  if (!process) return;
  struct tr_space* old = find_space(process->space);
  /* A vfork child that leaves its parent's heap is followed only like any other child. */
  bool is_child = old && old->tgid != tgid;
  __u32 old_space = process->space;
  if (config.all) {
    /* The new program may have another name, and is asked about when it allocates. */
    if (process->hold & TR_NEVER_TRACED) return;
    bpf_map_delete_elem(&processes, &tgid);
    if (!old_space) return;
    leave_space(old_space);
    emit(TR_EVENT_EXEC, tgid, old_space, 0);
    return;
  }
  struct tr_origin origin = {};
  describe_origin(&origin, bpf_get_current_task_btf());
  __u32 space = is_child && !config.follow ? 0 : begin_space(tgid, old_space, &origin);
  leave_space(old_space);
  if (!space) {
    bpf_map_delete_elem(&processes, &tgid);
    return;
  }
  process->space = space;
  bool held = process->hold & TR_HOLD_EXEC;
  if (held) bpf_send_signal(TR_SIGSTOP);
  emit(TR_EVENT_EXEC, tgid, space, held);
}

/* Called for every thread that exits; the last one ends the process. */
TR_INLINE void thread_exited(struct task_struct* task) {
  if (BPF_CORE_READ(task, signal, live.counter) > 0) return;
  __u32 tgid = BPF_CORE_READ(task, tgid);
  struct tr_process* process = find_process(tgid);
  if (!process) return;
  __u32 space = process->space;
  /* The last two threads may both come here when they exit at one instant; one of them removes the process. */
  if (bpf_map_delete_elem(&processes, &tgid)) return;
  if (!space) return;
  leave_space(space);
  emit(TR_EVENT_EXIT, tgid, space, BPF_CORE_READ(task, exit_code));
}

#endif
