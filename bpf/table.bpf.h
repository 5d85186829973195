/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a place in a file to the rule that finds its caller: one look into the file's unwind table. Slow beside the rest
 * (some 30 ns), and done once per address: module.bpf.h remembers the answer.
 */
#ifndef TRACER_BPF_TABLE_H
#define TRACER_BPF_TABLE_H

#include "bpf/space.bpf.h"

/* A bucket covers 128 bytes of code, so it has 128 rows at most. */
#define TR_SEARCH_STEPS 8

TR_INLINE __u32 word_at(__u32 index) {
  __u32 element = index >> 1;
  struct tr_words* words = bpf_map_lookup_elem(&unwind_words, &element);
  if (!words) return 0;
  return index & 1 ? words->word[1] : words->word[0];
}

/* The number of the rule that holds at `offset` of a file; see bpf/abi/unwind.h. A table that is taken away meanwhile
 * is not given to another file before this is over, so the answer is right or 0. */
TR_CHECKED_ONCE __u32 rule_number(struct tr_table* table, __u64 offset) {
  if (!table) return 0;
  __u32 count = table->bucket_count;
  __u32 first = table->first_word;
  __u64 bucket = (offset - table->low) >> TR_BUCKET_SHIFT;
  if (offset < table->low || bucket >= count) return 0;
  __u32 rows = first + count + 1;
  __u32 low = word_at(first + (__u32)bucket);
  __u32 high = word_at(first + (__u32)bucket + 1);
  /* The last row of the bucket at or before the offset; without one, the row before the bucket. */
  for (int i = 0; i < TR_SEARCH_STEPS; i++) {
    if (low >= high) break;
    __u32 middle = low + ((high - low) >> 1);
    if (TR_ROW_OFFSET(word_at(rows + middle)) <= (offset & 0xffff))
      low = middle + 1;
    else
      high = middle;
  }
  return low ? TR_ROW_RULE(word_at(rows + low - 1)) : 0;
}

/* The rule for `offset` of a file as one word. False: the file's table is not there yet; user space is told. */
TR_INLINE bool find_rule(__u32 module, __u64 offset, __u32 space_id, __u64* rule) {
  *rule = 0;
  struct tr_table* table = bpf_map_lookup_elem(&tables, &module);
  if (!table) return true;
  if (table->used_tick != globals.tick) table->used_tick = globals.tick;
  if (table->state == TR_TABLE_NONE) return true;
  if (table->state != TR_TABLE_READY) {
    if (!table->wanted) {
      table->wanted = 1;
      emit(TR_EVENT_TABLE, current_tgid(), space_id, module);
    }
    return false;
  }
  __u32 number = rule_number(table, offset);
  __u64* found = bpf_map_lookup_elem(&rules, &number);
  if (found) *rule = *found;
  return true;
}

#endif
