/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The dynamic linker's own announcements. _dl_debug_state is the function that it calls for debuggers whenever its list
 * of libraries is about to change or has changed; libraries that were added are mapped by then and their constructors
 * have not run. They only say when user space should look; what an address means is never taken from them
 * (module.bpf.h).
 */
#ifndef TRACER_BPF_LIBRARY_H
#define TRACER_BPF_LIBRARY_H

#include "bpf/process.bpf.h"

TR_INLINE int library_enter(void) {
  __u32 tgid = current_tgid();
  struct tr_process* process = find_process(tgid);
  if (!process || !process->space) return 0;
  struct tr_space* space = find_space(process->space);
  if (space) __sync_fetch_and_add(&space->announcements, 1);
  /* The kernel itself tells of new files then. */
  if (config.all) return 0;
  bool held = process->hold & TR_HOLD_LOADER;
  if (held) bpf_send_signal(TR_SIGSTOP);
  emit(TR_EVENT_LIBRARIES, tgid, process->space, held);
  return 0;
}

/* A system call that may have changed mappings has been made: on kernels whose address spaces do not count that. */
TR_INLINE int mappings_changed(void) {
  struct tr_process* process = find_process(current_tgid());
  if (!process) return 0;
  struct tr_space* space = find_space(process->space);
  if (space) __sync_fetch_and_add(&space->layout, 1);
  return 0;
}

#endif
