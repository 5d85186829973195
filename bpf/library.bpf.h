/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The dynamic linker's own announcements. _dl_debug_state is the function that it calls for debuggers whenever its list
 * of libraries is about to change or has changed; libraries that were added are mapped by then and their constructors
 * have not run.
 */
#ifndef TRACER_BPF_LIBRARY_H
#define TRACER_BPF_LIBRARY_H

#include "bpf/heap.bpf.h"
#include "bpf/process.bpf.h"

/* The announcements that one dlclose makes when it unmaps: about to change, has changed. */
#define TR_CLOSE_ANNOUNCEMENTS 2

TR_INLINE int library_enter(__u64 cookie) {
  __u32 tgid = current_tgid();
  struct tr_process* process = find_process(tgid);
  if (!process) return 0;
  struct tr_space* space = find_space(process->space);
  struct tr_thread* t = thread_state(BPF_LOCAL_STORAGE_GET_F_CREATE);
  if (!space || !t) {
    lose(TR_LOSS_THREAD_STATE);
    return 0;
  }
  if (TR_COOKIE_CALL(cookie) == TR_CALL_LOADER_CLOSE) {
    t->closing = TR_CLOSE_ANNOUNCEMENTS;
    return 0;
  }
  if (t->closing) {
    /* From here on an address may mean another library: stacks taken later are other stacks. */
    t->closing--;
    __sync_fetch_and_add(&space->epoch, 1);
  }
  bool held = process->hold & TR_HOLD_LOADER;
  if (held) bpf_send_signal(TR_SIGSTOP);
  emit(TR_EVENT_LIBRARIES, tgid, process->space, held);
  return 0;
}

#endif
