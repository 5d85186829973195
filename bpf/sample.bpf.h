/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sampling by bytes: which allocations are recorded, and what a recorded one stands for.
 *
 * In every thread points fall onto the bytes that it allocates, at random and independently of each other, one per
 * `distance` bytes in the mean (a Poisson process). A block is recorded when a point falls onto it, which happens with
 * the probability p = 1 - exp(-size / distance), and stands for 1 / p blocks of its size: every sum over recorded
 * blocks is then right in the mean, whatever the sizes are and in whatever order they come. A block of the distance
 * and above is always recorded, stands for itself, and takes no part in the process. An empty block counts as one byte
 * in the process.
 *
 * The thread counts down the bytes to the next point. Behind a block that was hit the process begins anew, since what
 * lies ahead does not depend on what has been.
 *
 * A block keeps the level it was sampled at, not its weight: what was added for it is computed again, the same number,
 * when it is taken off.
 */
#ifndef TRACER_BPF_SAMPLE_H
#define TRACER_BPF_SAMPLE_H

#include "bpf/space.bpf.h"

/* 2^32 times ln(2) and the square root of 2. */
#define TR_LN_2 2977044472ULL
#define TR_SQRT_2 6074001000ULL
/* Calls between two additions to tr_space.events: a line that all threads write to. */
#define TR_EVENTS_STEP 64

/* Why the call in flight is not recorded. */
enum tr_skip {
  TR_SKIP_NONE = 0,
  TR_SKIP_FILTERED,  /* by its size */
  TR_SKIP_UNSAMPLED, /* no point fell onto it */
};

/* What a recorded block adds to the books. */
struct tr_weight {
  __u64 units; /* of 1/TR_OBJECT_UNITS block */
  __u64 bytes;
  __u64 birth_ticks; /* its tick for each of the blocks */
  __u64 variance;    /* see `variances` */
};

/* 2^32 times atanh(w / 2^32), for w up to 0.172 * 2^32; too small by less than 10 / 2^32. */
TR_INLINE __u64 fixed_atanh(__u64 w) {
  __u64 square = (w * w) >> 32;
  __u64 series = (1ULL << 32) / 11;
  series = (1ULL << 32) / 9 + ((square * series) >> 32);
  series = (1ULL << 32) / 7 + ((square * series) >> 32);
  series = (1ULL << 32) / 5 + ((square * series) >> 32);
  series = (1ULL << 32) / 3 + ((square * series) >> 32);
  return w + ((((w * square) >> 32) * series) >> 32);
}

/* Shifts `m` up by as many bits if these are zero, of 33 bits the highest, and counts them. */
#define TR_SHIFT_UP(m, count, bits) \
  if (!((m) >> (33 - (bits)))) {    \
    (m) <<= (bits);                 \
    (count) += (bits);              \
  }

/*
 * 2^32 times -ln(u) for u = (random + 1/2) / 2^32, right to some 2^-28.
 *
 * u is m * 2^-n with m from 1 to 2, and ln(m) = ln(2) / 2 + 2 atanh((m - sqrt(2)) / (m + sqrt(2))).
 */
TR_INLINE __u64 negative_log(__u32 random) {
  __u64 m = 2ULL * random + 1;
  __u64 n = 1;
  /* BPF has no instruction that counts leading zeros. */
  TR_SHIFT_UP(m, n, 16);
  TR_SHIFT_UP(m, n, 8);
  TR_SHIFT_UP(m, n, 4);
  TR_SHIFT_UP(m, n, 2);
  TR_SHIFT_UP(m, n, 1);
  TR_SHIFT_UP(m, n, 1); /* of 33 bits 32 can be zero */
  bool is_low = m < TR_SQRT_2;
  __u64 gap = is_low ? TR_SQRT_2 - m : m - TR_SQRT_2;
  __u64 twice = 2 * fixed_atanh((gap << 32) / (TR_SQRT_2 + m));
  __u64 log = n * TR_LN_2 - TR_LN_2 / 2;
  if (is_low) return log + twice;
  return log > twice ? log - twice : 0;
}

/* Bytes to the next point, from 1: the point is in the last of them. */
TR_CHECKED_ONCE __u64 draw_gap(__u64 distance) {
  __u64 log = negative_log(bpf_get_prandom_u32());
  return (log >> 32) * distance + (((log & 0xffffffff) * distance) >> 32) + 1;
}

TR_INLINE __u64 distance_of(__u32 level) { return config.sample_bytes << ((level - 1) & (TR_SAMPLE_LEVELS - 1)); }

/*
 * Sets what a sampled block of `size` bytes below `distance` stands for. With x = size / distance a hit stands for
 * distance * x / (1 - exp(-x)) bytes, and x / (1 - exp(-x)) = 1 + x/2 + x^2/12 - x^4/720 + x^6/30240 - …, of which
 * what is left out is less than 10^-6.
 *
 * The square of the standard error of a sum of bytes is estimated by the sum of weight * (weight - size).
 */
TR_CHECKED_ONCE int weigh(struct tr_weight* out, __u64 size, __u64 distance, __u64 birth_tick) {
  if (!out || !distance) return 0;
  __u64 hit = size ? size : 1;
  __u64 x = (hit << 32) / distance;
  __u64 x2 = (x * x) >> 32;
  __u64 x4 = (x2 * x2) >> 32;
  __u64 more = distance * (x / 2 + x2 / 12 - x4 / 720 + ((x4 * x2) >> 32) / 30240);
  __u64 bytes = distance + ((more + (1ULL << 31)) >> 32);
  out->units = ((distance << 10) + (more >> 22) + hit / 2) / hit;
  out->birth_ticks = (birth_tick >> 10) * out->units + (((birth_tick & 1023) * out->units) >> 10);
  out->bytes = size ? bytes : 0;
  out->variance = size ? bytes * (bytes - size) / TR_VARIANCE_UNIT : 0;
  return 0;
}

TR_INLINE struct tr_weight weight_of(const struct tr_block* block) {
  struct tr_weight weight = {.units = TR_OBJECT_UNITS, .bytes = block->size, .birth_ticks = block->birth_tick};
  if (block->level) weigh(&weight, block->size, distance_of(block->level), block->birth_tick);
  return weight;
}

/* The variance of a stack's live bytes, which only sampled blocks have. */
TR_INLINE void add_variance(__u32 stack_id, __u64 variance) {
  if (!variance) return;
  __u64* sum = bpf_map_lookup_elem(&variances, &stack_id);
  if (sum) __sync_fetch_and_add(sum, variance);
}

/* Whether the allocation of t->size bytes is recorded, at t->call_level. */
TR_INLINE bool take_sample(struct tr_thread* t, const struct tr_space* space) {
  __u32 level = *(const volatile __u16*)&space->sample_level;
  t->call_level = 0;
  if (!level) return true;
  /* Since the entry program has looked. */
  if (level == TR_LEVEL_MUTED) return false;
  if (level != t->sample_level) {
    t->sample_level = level;
    t->sample_distance = distance_of(level);
    t->sample_gap = draw_gap(t->sample_distance);
  }
  if (t->size >= t->sample_distance) return true;
  t->sample_gap -= t->size ? (__s64)t->size : 1;
  if (t->sample_gap > 0) return false;
  t->sample_gap = draw_gap(t->sample_distance);
  t->call_level = level;
  return true;
}

TR_INLINE enum tr_skip skip_of(struct tr_thread* t, const struct tr_space* space) {
  if (t->size < config.min_size || t->size > config.max_size) return TR_SKIP_FILTERED;
  return take_sample(t, space) ? TR_SKIP_NONE : TR_SKIP_UNSAMPLED;
}

/* A block was freed that is not in the books. Where allocations were left out that says nothing. */
TR_INLINE void count_unknown_free(struct tr_space* space) {
  if (!space->sampled) __sync_fetch_and_add(&space->free_unknown, 1);
}

TR_INLINE void count_event(struct tr_thread* t, struct tr_space* space) {
  if (++t->events < TR_EVENTS_STEP) return;
  t->events = 0;
  __sync_fetch_and_add(&space->events, TR_EVENTS_STEP);
}

#endif
