/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Takes the call stack of the current thread. The one place that knows how: everything else sees
 * tr_thread.frames, innermost first, frames[0] being the probed instruction and all others return addresses.
 *
 * This walk follows frame pointers. At a probe site the stack pointer is still as at the function's entry, so the
 * caller's return address lies on top of the stack and is always right; rbp is the caller's frame pointer if
 * the caller keeps one. Code built without frame pointers ends the walk or adds addresses that lie in no executable
 * mapping; user space cuts those off.
 */
#ifndef TRACER_BPF_UNWIND_H
#define TRACER_BPF_UNWIND_H

#include "bpf/maps.bpf.h"

/* A frame larger than this is taken for a broken chain. */
#define TR_MAX_FRAME_SIZE (1 << 20)
/* Return addresses below the first page or in the kernel's half are none. */
#define TR_USER_LOW 4096UL
#define TR_USER_HIGH (1UL << 56)

#define TR_PAGE_SIZE 4096UL

struct tr_frame_record {
  __u64 frame_pointer;
  __u64 return_address;
};

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

/* Reads the record at `fp`, a multiple of 8. */
TR_INLINE bool read_record(struct tr_thread* t, __u64 fp, struct tr_frame_record* record) {
  __u64 offset = fp - t->window_start;
  if (offset + sizeof(*record) > t->window_size || offset >= t->window_size) {
    if (!move_window(t, fp)) return false;
    /* The record crosses into the next page. */
    if (t->window_size < sizeof(*record)) return bpf_probe_read_user(record, sizeof(*record), (const void*)fp) == 0;
    offset = 0;
  }
  __u64 word = offset / sizeof(__u64);
  /* Never true; the verifier does not know that the window's size is at most that of the array. Hidden from clang, so
   * that the comparison is made on the very register that becomes the index. */
  asm volatile("" : "+r"(word));
  if (word > TR_WINDOW_WORDS - 2) return false;
  record->frame_pointer = t->window[word];
  record->return_address = t->window[word + 1];
  return true;
}

TR_INLINE bool is_code_address(__u64 address) { return address >= TR_USER_LOW && address < TR_USER_HIGH; }

/* Fills frames, frame_count and stack_end of `t` from the registers. The loop is bounded by TR_MAX_FRAMES, the size of
 * frames. */
TR_CHECKED_ONCE int unwind(struct tr_thread* t, __u64 ip, __u64 sp, __u64 fp) {
  __u64 lowest = sp;
  __u32 max_frames = config.max_frames;
  __u32 n = 1;

  if (!t) return 0;
  t->window_size = 0;
  t->located = 0;
  t->announcements = 0;
  t->frames[0] = ip;
  t->stack_end = TR_END_FRAME;
  if (bpf_probe_read_user(&t->frames[1], sizeof(t->frames[1]), (const void*)sp) == 0 && is_code_address(t->frames[1])) {
    n = 2;
    for (int i = 2; i < TR_MAX_FRAMES; i++) {
      struct tr_frame_record record;
      if (fp == 0) {
        t->stack_end = TR_END_ROOT;
        break;
      }
      if ((fp & 7) || fp < lowest || fp - lowest > TR_MAX_FRAME_SIZE) break;
      if ((__u32)i >= max_frames) {
        t->stack_end = TR_END_DEPTH;
        break;
      }
      if (!read_record(t, fp, &record)) break;
      if (record.return_address == 0) {
        t->stack_end = TR_END_ROOT;
        break;
      }
      if (!is_code_address(record.return_address)) break;
      t->frames[i] = record.return_address;
      n = i + 1;
      lowest = fp + sizeof(record);
      fp = record.frame_pointer;
      if (i + 1 == TR_MAX_FRAMES) t->stack_end = fp ? TR_END_DEPTH : TR_END_ROOT;
    }
  }
  t->frame_count = n;
  return 0;
}

#endif
