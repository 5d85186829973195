/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How a frame is left: from its registers and the rule of its file to the registers of its caller. Compiled into both
 * halves: the kernel half walks the stack itself, user space goes on with a copy of it where a table came too late.
 *
 * Whoever includes this has defined TR_READER, a type with a member `struct tr_walk walk`, and
 *
 *   bool read_word(TR_READER* t, __u64 address, __u64* word)
 *
 * Each function returns TR_END_NONE, or why the walk ends.
 */
#ifndef TRACER_BPF_ABI_LEAVE_H
#define TRACER_BPF_ABI_LEAVE_H

#include "bpf/abi/unwind.h"

/* More of a walk is to be done. */
#define TR_END_NONE TR_END_COUNT
/* A frame larger than this is taken for a broken chain. */
#define TR_MAX_FRAME_SIZE (1 << 20)
/* In the ucontext that lies above a signal handler's frame: where the registers of the interrupted code are
 * (sys/ucontext.h: uc_mcontext.gregs of REG_RBP, REG_RSP and REG_RIP). */
#define TR_UCONTEXT_RBP 120
#define TR_UCONTEXT_RSP 160
#define TR_UCONTEXT_RIP 168
/* Not aligned, and nothing is mapped there: what is found through an rbp that cannot be known is known to be wrong. */
#define TR_LOST_FP 1

/* Goes to the frame that called: its stack pointer is `cfa`, and the return address lies below that. */
TR_INLINE int enter_caller(TR_READER* t, __u64 cfa, __u64 flags) {
  if (!read_word(t, cfa - sizeof(__u64), &t->walk.pc)) return TR_END_FAULT;
  t->walk.sp = cfa;
  t->walk.flags = flags;
  return t->walk.pc ? TR_END_NONE : TR_END_ROOT;
}

/*
 * By frame pointer: it points to where the function has stored its caller's, below its return address. `depth`: frames
 * so far; `has_tables`: this is not how all stacks are walked.
 */
TR_INLINE int leave_by_frame_pointer(TR_READER* t, bool has_file, __u32 depth, bool has_tables) {
  __u64 fp = t->walk.fp;
  int broken = has_file || !has_tables ? TR_END_FRAME : TR_END_JIT;
  /* Null marks the outermost frame, says the ABI: the dynamic linker and musl begin like that. At the direct caller,
   * which is not known to keep one, it says nothing. */
  if (fp == 0) return broken == TR_END_FRAME && depth > 2 ? TR_END_ROOT : broken;
  if ((fp & 7) || fp < t->walk.sp || fp - t->walk.sp > TR_MAX_FRAME_SIZE) return broken;
  if (!read_word(t, fp, &t->walk.fp)) return broken;
  int end = enter_caller(t, fp + 2 * sizeof(__u64), has_tables ? TR_FRAME_BY_FP : 0);
  return end == TR_END_FAULT ? broken : end;
}

/* Out of a signal handler: to the very instruction that was interrupted, perhaps on another stack. */
TR_INLINE int leave_signal_frame(TR_READER* t, __u64 context) {
  if (!read_word(t, context + TR_UCONTEXT_RBP, &t->walk.fp) || !read_word(t, context + TR_UCONTEXT_RSP, &t->walk.sp) ||
      !read_word(t, context + TR_UCONTEXT_RIP, &t->walk.pc))
    return TR_END_FAULT;
  t->walk.flags = TR_FRAME_EXACT;
  return TR_END_NONE;
}

/* Finds the caller's rbp, given this frame's CFA. */
TR_INLINE bool restore_fp(TR_READER* t, const struct tr_rule* rule, __u64 cfa) {
  __s64 offset = rule->fp_offset;
  if (rule->fp == TR_FP_SAME) return true;
  if (rule->fp == TR_FP_CFA) return read_word(t, cfa + (__u64)offset, &t->walk.fp);
  if (rule->fp == TR_FP_FP) return read_word(t, t->walk.fp + (__u64)offset, &t->walk.fp);
  t->walk.fp = TR_LOST_FP;
  return true;
}

/* Leaves the frame by a rule of its file. Returns TR_END_NONE or why the walk ends. */
TR_INLINE int leave_by_rule(TR_READER* t, const struct tr_rule* rule) {
  __u64 offset = (__u64)(__s64)rule->cfa_offset;
  __u64 cfa = t->walk.sp + offset;
  __u32 kind = rule->cfa;
  if (kind == TR_CFA_END) return TR_END_ROOT;
  if (kind == TR_CFA_SIGNAL) return leave_signal_frame(t, cfa);
  if (kind == TR_CFA_FP || kind == TR_CFA_FP_DEREF) cfa = t->walk.fp + offset;
  if (kind == TR_CFA_SP_DEREF || kind == TR_CFA_FP_DEREF) {
    if (!read_word(t, cfa, &cfa)) return TR_END_FAULT;
    cfa += 8 * (__u64)rule->add8;
  } else if (kind == TR_CFA_PLT) {
    cfa = t->walk.sp + 8 + (((t->walk.pc & 15) >= offset) ? 8 : 0);
  } else if (kind != TR_CFA_SP && kind != TR_CFA_FP) {
    return TR_END_UNSUPPORTED;
  }
  /* Up the stack, always; only a frame that knows its place by rbp can have switched stacks. */
  if (cfa <= t->walk.sp && (kind == TR_CFA_SP || cfa == t->walk.sp)) return TR_END_FRAME;
  if (!restore_fp(t, rule, cfa)) return TR_END_FAULT;
  return enter_caller(t, cfa, 0);
}

#endif
