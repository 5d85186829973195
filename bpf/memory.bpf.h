/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Memory that no allocator hands out: system calls that map and unmap it, and the first touch of its pages.
 *
 * Which bytes are mapped by whom is found out in user space, from an event per call: mappings are split and merged, and
 * there are few calls. Page faults are many, and counted here, by stack.
 *
 * These programs run on tracepoints, at the border of the kernel, in threads that may be within a probed call: they
 * borrow the thread's room for a stack, unless the stack of that call is not finished yet.
 */
#ifndef TRACER_BPF_MEMORY_H
#define TRACER_BPF_MEMORY_H

#include "bpf/heap.bpf.h"

/* System calls of x86-64 (arch/x86/entry/syscalls/syscall_64.tbl). */
#define TR_SYS_MMAP 9
#define TR_SYS_MPROTECT 10
#define TR_SYS_MUNMAP 11
#define TR_SYS_BRK 12
#define TR_SYS_MREMAP 25
/* Their arguments, from <linux/mman.h>. */
#define TR_PROT_ANY 7
#define TR_MAP_FIXED 0x10
#define TR_MAP_ANONYMOUS 0x20

#define TR_LARGEST_ERRNO 4095
#define TR_FAULT_PRESENT 1 /* error code of a page fault: the page was there, access to it was not allowed */
#define TR_USER_END (1ULL << 47)

TR_INLINE __u32 current_tid(void) { return (__u32)bpf_get_current_pid_tgid(); }

/* The address space of a process that is traced already; 0: it is not, or nothing is recorded. */
TR_INLINE __u32 recorded_space(void) {
  if (!globals.recording) return 0;
  struct tr_process* process = find_process(current_tgid());
  if (!process || !process->space) return 0;
  struct tr_space* space = find_space(process->space);
  return space && space->sample_level != TR_LEVEL_MUTED ? process->space : 0;
}

TR_INLINE void tell_memory(const struct tr_memory_event* what) {
  if (bpf_ringbuf_output(&memory_events, (void*)what, sizeof(*what), 0)) lose(TR_LOSS_MAPPINGS_FULL);
}

/* The stack that the current thread has entered the kernel from. */
TR_INLINE __u32 stack_of_user(__u32 space_id) {
  struct tr_thread* t = thread_state(BPF_LOCAL_STORAGE_GET_F_CREATE);
  struct tr_space* space = find_space(space_id);
  if (!t || !space) return no_stack_of(space_id);
  /* Its call is in flight and its stack is to be finished at the return. */
  if (t->sp && !t->skip && t->stack_id == TR_NO_STACK) return no_stack_of(space_id);
  join_space(t, space_id, space);
  const struct pt_regs* regs = (const struct pt_regs*)bpf_task_pt_regs(bpf_get_current_task_btf());
  if (!unwind_inside(t, BPF_CORE_READ(regs, ip), BPF_CORE_READ(regs, sp), BPF_CORE_READ(regs, bp))) finish_unwinding(t);
  return stack_id_of(t);
}

/* Whether the thread is within a call of a probed function that hands out memory. */
TR_INLINE bool is_in_allocator(void) {
  struct tr_thread* t = thread_state(0);
  const struct pt_regs* regs = (const struct pt_regs*)bpf_task_pt_regs(bpf_get_current_task_btf());
  return t && t->sp && is_inside_call(t, BPF_CORE_READ(regs, sp));
}

TR_INLINE __u32 access_of(__u64 protection) { return protection & TR_PROT_ANY ? TR_MEMORY_ACCESSIBLE : 0; }

/* Few of all system calls: those that map and unmap. */
TR_INLINE bool is_memory_call(__u64 number) {
  return (number >= TR_SYS_MMAP && number <= TR_SYS_BRK) || number == TR_SYS_MREMAP;
}

/* `regs`: as the thread has entered the kernel. */
TR_INLINE int memory_call_enters(const struct pt_regs* regs, __u64 number) {
  if (!is_memory_call(number)) return 0;
  __u32 space = recorded_space();
  if (!space) return 0;
  struct tr_memory_call call = {.address = BPF_CORE_READ(regs, di), .length = BPF_CORE_READ(regs, si)};
  __u64 protection = BPF_CORE_READ(regs, dx);
  __u64 flags = BPF_CORE_READ(regs, r10);
  switch (number) {
    case TR_SYS_MMAP:
      call.flags = access_of(protection) | (__u32)flags << 8;
      call.is_taken = (flags & TR_MAP_FIXED) != 0;
      break;
    case TR_SYS_MPROTECT:
      call.flags = access_of(protection);
      break;
    case TR_SYS_MUNMAP:
      call.is_taken = 1;
      break;
    case TR_SYS_MREMAP:
      call.flags = TR_MEMORY_ACCESSIBLE;
      call.is_taken = 1;
      break;
    case TR_SYS_BRK:
      call.address = BPF_CORE_READ(bpf_get_current_task_btf(), mm, brk);
      break;
  }
  struct tr_thread* t = thread_state(BPF_LOCAL_STORAGE_GET_F_CREATE);
  if (!t) {
    lose(TR_LOSS_THREAD_STATE);
    return 0;
  }
  call.space = space;
  t->memory_call = call;
  if (!call.is_taken) return 0;
  struct tr_memory_event event = {
      .change = TR_MEMORY_TAKE, .space = space, .tid = current_tid(), .address = call.address, .length = call.length};
  tell_memory(&event);
  return 0;
}

TR_INLINE void tell_mapped(struct tr_memory_event* event) {
  event->change = TR_MEMORY_MAP;
  event->stack_id = stack_of_user(event->space);
  if (is_in_allocator()) event->flags |= TR_MEMORY_BY_ALLOCATOR;
  tell_memory(event);
}

TR_INLINE void brk_leaves(struct tr_memory_event* event, __u64 before, __u64 now) {
  if (now > before) {
    event->address = before;
    event->length = now - before;
    event->flags = TR_MEMORY_ACCESSIBLE;
    tell_mapped(event);
  } else if (now < before) {
    event->change = TR_MEMORY_TAKE;
    event->address = now;
    event->length = before - now;
    tell_memory(event);
    event->change = TR_MEMORY_SETTLE;
    event->length = 0;
    tell_memory(event);
  }
}

TR_INLINE int memory_call_leaves(const struct pt_regs* regs, __u64 result) {
  __u64 number = BPF_CORE_READ(regs, orig_ax);
  if (!is_memory_call(number)) return 0;
  struct tr_thread* t = thread_state(0);
  if (!t || !t->memory_call.space) return 0;
  struct tr_memory_call call = t->memory_call;
  t->memory_call.space = 0;
  if (recorded_space() != call.space) return 0;
  struct tr_memory_event event = {.space = call.space, .tid = current_tid()};
  if (number == TR_SYS_BRK) {
    brk_leaves(&event, call.address, result);
    return 0;
  }
  bool failed = result >= -(__u64)TR_LARGEST_ERRNO;
  if (call.is_taken) {
    event.change = failed ? TR_MEMORY_RESTORE : TR_MEMORY_SETTLE;
    if (number == TR_SYS_MREMAP) {
      event.address = result;
      event.length = BPF_CORE_READ(regs, dx);
    }
    tell_memory(&event);
  }
  if (failed) return 0;
  event.address = number == TR_SYS_MMAP ? result : call.address;
  event.length = call.length;
  event.flags = call.flags & TR_MEMORY_ACCESSIBLE;
  if (number == TR_SYS_MMAP && call.flags >> 8 & TR_MAP_ANONYMOUS) {
    tell_mapped(&event);
  } else if (number == TR_SYS_MPROTECT) {
    event.change = TR_MEMORY_PROTECT;
    tell_memory(&event);
  }
  return 0;
}

/* The first touch of a page; also by the kernel, in the name of the thread, such as read(2) into it. */
TR_INLINE int page_faulted(__u64 address, __u64 error_code) {
  if (error_code & TR_FAULT_PRESENT || address >= TR_USER_END) return 0;
  /* A look that must not fault, such as those of BPF programs themselves: nothing is touched. */
  if (bpf_get_current_task_btf()->pagefault_disabled) return 0;
  __u32 space = recorded_space();
  if (!space) return 0;
  __u32 stack_id = stack_of_user(space);
  __u64* count = bpf_map_lookup_elem(&faults, &stack_id);
  if (count) __sync_fetch_and_add(count, 1);
  return 0;
}

#endif
