/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Takes the call stack of the current thread. The one place that knows how: everything else sees tr_thread.frames,
 * innermost first, frames[0] being the probed instruction.
 *
 * A frame is left by the rule that its file's call frame information has for it (table.bpf.h), with nothing but rip,
 * rsp and rbp: compilers describe every call site by these. Code without such information (JIT, hand-written assembly)
 * is left by its frame pointer, and what is found so is marked. With --call-graph fp everything is left that way.
 *
 * At a probe site the stack pointer is still as at the function's entry, so the caller's return address lies on top of
 * the stack and rbp is the caller's, whatever anybody's tables say.
 *
 * The stack is read through a window, a copy of up to two kilobytes: one call for many frames.
 */
#ifndef TRACER_BPF_UNWIND_H
#define TRACER_BPF_UNWIND_H

#include "bpf/module.bpf.h"

#define TR_PAGE_SIZE 4096UL
/* Return probes in flight that are looked through for one frame. */
#define TR_MAX_RETURNS 64

/* Copies what begins at `address` into the window, up to the end of its page: the next one may not be there. */
TR_INLINE bool move_window(struct tr_thread* t, __u64 address) {
  __u64 size = TR_PAGE_SIZE - (address & (TR_PAGE_SIZE - 1));
  if (size > sizeof(t->window)) size = sizeof(t->window);
  t->window_size = 0;
  if (bpf_probe_read_user(t->window, size, (const void*)address)) return false;
  t->window_start = address;
  t->window_size = size;
  return true;
}

/* A word of the window; false when it is not there. Stacks are aligned, the window has no other words. */
TR_INLINE bool peek_word(const struct tr_thread* t, __u64 address, __u64* word) {
  __u64 offset = address - t->window_start;
  if (offset >= t->window_size || (address & 7)) return false;
  __u64 index = offset / sizeof(__u64);
  /* Never true; the verifier does not know that the window's size is at most that of the array. Hidden from clang, so
   * that the comparison is made on the very register that becomes the index. */
  asm volatile("" : "+r"(index));
  if (index >= TR_WINDOW_WORDS) return false;
  *word = t->window[index];
  return true;
}

/* Reads a word of the stack. */
TR_INLINE bool read_word(struct tr_thread* t, __u64 address, __u64* word) {
  if (address & 7) return bpf_probe_read_user(word, sizeof(*word), (const void*)address) == 0;
  if (address - t->window_start >= t->window_size && !move_window(t, address)) return false;
  return peek_word(t, address, word);
}

#define TR_READER struct tr_thread
#include "bpf/abi/leave.h"

/* Its return address was read at its entry: when it returns, a walk that was interrupted goes on. */
TR_INLINE int leave_probed_function(struct tr_thread* t) {
  t->walk.pc = t->walk.caller;
  t->walk.sp += sizeof(__u64);
  t->walk.flags = 0;
  return t->walk.caller == TR_NO_CALLER ? TR_END_FAULT : t->walk.caller == 0 ? TR_END_FRAME : TR_END_NONE;
}

TR_INLINE int leave_frame(struct tr_thread* t, const struct tr_place* place) {
  union {
    __u64 word;
    struct tr_rule rule;
  } how = {.word = place->rule};
  if (t->frame_count == 1 && !t->is_inside) return leave_probed_function(t);
  if (how.rule.cfa == TR_CFA_NONE) {
    bool has_file = TR_FRAME_MODULE(place->frame) != TR_MODULE_NONE;
    /* What is said there of the direct caller of a probed function holds for that only. */
    __u32 depth = t->frame_count + (t->is_inside ? 2 : 0);
    return leave_by_frame_pointer(t, has_file, depth, config.use_tables);
  }
  return leave_by_rule(t, &how.rule);
}

/* Where return probes send returning functions, 0 if the process has none yet. */
TR_INLINE __u64 return_trampoline(void) {
  struct mm_struct* mm = bpf_get_current_task_btf()->mm;
  if (!mm) return 0;
  struct xol_area* area = mm->uprobes_state.xol_area;
  return area ? area->vaddr : 0;
}

/* Whose return address a return probe has replaced: the kernel keeps what was there, by stack slot. False: nobody's. */
TR_CHECKED_ONCE int look_through_return_probe(struct tr_thread* t) {
  if (!t || t->walk.pc != return_trampoline()) return false;
  struct uprobe_task* probes = bpf_get_current_task_btf()->utask;
  if (!probes) return false;
  struct return_instance* instance = probes->return_instances;
  for (int i = 0; i < TR_MAX_RETURNS; i++) {
    if (!instance) break;
    if (instance->stack == t->walk.sp - sizeof(__u64)) {
      t->walk.pc = instance->orig_ret_vaddr;
      return true;
    }
    instance = instance->next;
  }
  return false;
}

/* Looks up where the walk has come to. */
TR_INLINE int locate_frame(struct tr_thread* t, __u32 layout, struct tr_place* place) {
  bool exact = t->walk.flags & TR_FRAME_EXACT;
  int result = locate(t, t->walk.pc, exact, layout, place);
  bool is_file = result == TR_LOOKUP_DONE && TR_FRAME_MODULE(place->frame) != TR_MODULE_NONE;
  if (is_file || result == TR_LOOKUP_BUSY || !look_through_return_probe(t)) return result;
  return locate(t, t->walk.pc, exact, layout, place);
}

/* The number that says which announcement of the dynamic linker an address that could not be looked up belongs to. */
TR_INLINE void keep_address(struct tr_thread* t, struct tr_place* place) {
  struct tr_space* space = find_space(t->space);
  t->announcements = space ? space->announcements : 0;
  place->frame = TR_FRAME(TR_MODULE_UNKNOWN, t->walk.pc);
  place->rule = 0;
}

TR_INLINE void put_frame(struct tr_thread* t, __u32 n, __u64 frame) {
  /* Hidden from clang, which would leave out a mask that changes nothing; the verifier wants it. */
  asm volatile("" : "+r"(n));
  t->frames[n & (TR_MAX_FRAMES - 1)] = frame;
}

/* What becomes of a walk after some frames. */
enum tr_progress {
  TR_WALK_OVER = 0,
  TR_WALK_GOES_ON,
  TR_WALK_BUSY, /* a mapping could not be looked up */
};

/* Adds the frame that the walk has come to, and leaves it. A walk that is over has t->stack_end set. */
TR_CHECKED_ONCE int take_frame(struct tr_thread* t, __u32 layout) {
  if (!t) return TR_WALK_OVER;
  __u32 n = t->frame_count;
  struct tr_place place = {};
  t->stack_end = TR_END_DEPTH;
  if (n >= config.max_frames || n >= TR_MAX_FRAMES) return TR_WALK_OVER;
  int found = locate_frame(t, layout, &place);
  if (found == TR_LOOKUP_BUSY && !t->is_last_try) return TR_WALK_BUSY;
  t->stack_end = t->walk.flags & TR_FRAME_BY_FP || !config.use_tables ? TR_END_FRAME : TR_END_NO_CODE;
  if (found == TR_LOOKUP_NO_CODE) return TR_WALK_OVER;
  if (found == TR_LOOKUP_BUSY) keep_address(t, &place);
  put_frame(t, n, place.frame | t->walk.flags);
  t->hash = mix(t->hash, place.frame | t->walk.flags);
  t->frame_count = n + 1;
  /* The probed function itself is left without a rule. */
  t->stack_end = found == TR_LOOKUP_BUSY ? TR_END_BUSY : TR_END_NO_TABLE;
  if (config.use_tables && (n > 0 || t->is_inside) && found != TR_LOOKUP_DONE) return TR_WALK_OVER;
  t->stack_end = (__u32)leave_frame(t, &place);
  return t->stack_end == TR_END_NONE ? TR_WALK_GOES_ON : TR_WALK_OVER;
}

/*
 * Adds frames for as long as everything is as it nearly always is: a return address that was looked up before, a rule
 * that needs rsp or rbp, words that are in the window. All that take_frame() would do as well, at a third of its price:
 * nothing is called, and nothing but the frames is stored.
 */
#define TR_FRAMES_AT_ONCE 64
TR_CHECKED_ONCE int take_known_frames(struct tr_thread* t, __u32 layout) {
  if (!t || t->walk.flags || !can_be_code(t->walk.pc)) return 0;
  __u64 pc = t->walk.pc, sp = t->walk.sp, fp = t->walk.fp, hash = t->hash;
  __u32 n = t->frame_count, serial = t->serial;
  for (int i = 0; i < TR_FRAMES_AT_ONCE; i++) {
    struct tr_pc* slot = pc_slot(pc_key(pc, false, serial));
    if (n >= config.max_frames || n >= TR_MAX_FRAMES || !slot) break;
    __u64 frame = slot->frame;
    union {
      __u64 word;
      struct tr_rule rule;
    } how = {.word = slot->rule};
    struct tr_pc known = {.valid = slot->valid, .frame = frame, .rule = how.word};
    if (slot->check != check_of(pc_key(pc, false, serial), &known) || known.valid >> 32 != layout) break;
    if (how.rule.cfa != TR_CFA_SP && how.rule.cfa != TR_CFA_FP) break;
    __u64 cfa = (how.rule.cfa == TR_CFA_SP ? sp : fp) + (__u64)(__s64)how.rule.cfa_offset;
    __u64 caller = 0, caller_fp = fp;
    if (cfa <= sp || !peek_word(t, cfa - sizeof(__u64), &caller) || !can_be_code(caller)) break;
    if (how.rule.fp == TR_FP_CFA) {
      if (!peek_word(t, cfa + (__u64)(__s64)how.rule.fp_offset, &caller_fp)) break;
    } else if (how.rule.fp != TR_FP_SAME) {
      break;
    }
    put_frame(t, n, frame);
    hash = mix(hash, frame);
    n++;
    pc = caller;
    sp = cfa;
    fp = caller_fp;
  }
  t->walk.pc = pc;
  t->walk.sp = sp;
  t->walk.fp = fp;
  t->hash = hash;
  t->frame_count = n;
  return 0;
}

/*
 * Fills frames, frame_count and stack_end of `t` from where t->walk stands. False if the walk has to go on later, since
 * a mapping could not be looked up; the second time it is given up instead.
 */
TR_CHECKED_ONCE int walk_stack(struct tr_thread* t) {
  if (!t) return true;
  __u32 layout = layout_of(t->space);
  int progress = TR_WALK_GOES_ON;
  /* Once more than the frames need, to see that the limit is reached. */
  for (int i = 0; i <= TR_MAX_FRAMES; i++) {
    progress = take_frame(t, layout);
    if (progress != TR_WALK_GOES_ON) break;
    if (config.use_tables) take_known_frames(t, layout);
  }
  return progress != TR_WALK_BUSY;
}

TR_INLINE void begin_walk(struct tr_thread* t, __u64 ip, __u64 sp, __u64 fp) {
  t->walk.pc = ip;
  t->walk.sp = sp;
  t->walk.fp = fp;
  t->walk.flags = TR_FRAME_EXACT;
  t->frame_count = 0;
  t->hash = 0;
  t->announcements = 0;
  t->window_size = 0;
  t->is_inside = 0;
}

/* Begins a walk at the site of a probe; false: finish_unwinding() has to be called later. */
TR_INLINE bool unwind(struct tr_thread* t, __u64 ip, __u64 sp, __u64 fp) {
  begin_walk(t, ip, sp, fp);
  if (!read_word(t, sp, &t->walk.caller)) t->walk.caller = TR_NO_CALLER;
  return walk_stack(t);
}

/* The same anywhere in a function, which is left by its rule. */
TR_INLINE bool unwind_inside(struct tr_thread* t, __u64 ip, __u64 sp, __u64 fp) {
  begin_walk(t, ip, sp, fp);
  t->walk.caller = TR_NO_CALLER;
  t->is_inside = 1;
  return walk_stack(t);
}

/* Goes on with a walk that was interrupted: the callers are still there, their memory may be elsewhere. */
TR_INLINE void finish_unwinding(struct tr_thread* t) {
  t->window_size = 0;
  t->is_last_try = 1;
  walk_stack(t);
  t->is_last_try = 0;
}

#endif
