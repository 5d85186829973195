/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the cookie of an exit (TR_EXIT) says of the registers there. */
#ifndef TRACER_BPF_EXIT_H
#define TRACER_BPF_EXIT_H

#include "bpf/prelude.bpf.h"

/* A register at a fixed offset: the verifier refuses a context pointer that clang has computed. */
#define TR_TAKE(value, wanted, number, from) \
  if ((wanted) == (number)) {                \
    __u64 taken = (from);                    \
    asm volatile("" : "+r"(taken));          \
    (value) = taken;                         \
  }

/* A general register by its number in instructions. */
TR_INLINE __u64 register_of(const struct pt_regs* ctx, __u32 number) {
  __u64 value = 0;
  TR_TAKE(value, number, 0, ctx->ax)
  TR_TAKE(value, number, 1, ctx->cx)
  TR_TAKE(value, number, 2, ctx->dx)
  TR_TAKE(value, number, 3, ctx->bx)
  TR_TAKE(value, number, 4, ctx->sp)
  TR_TAKE(value, number, 5, ctx->bp)
  TR_TAKE(value, number, 6, ctx->si)
  TR_TAKE(value, number, 7, ctx->di)
  TR_TAKE(value, number, 8, ctx->r8)
  TR_TAKE(value, number, 9, ctx->r9)
  TR_TAKE(value, number, 10, ctx->r10)
  TR_TAKE(value, number, 11, ctx->r11)
  TR_TAKE(value, number, 12, ctx->r12)
  TR_TAKE(value, number, 13, ctx->r13)
  TR_TAKE(value, number, 14, ctx->r14)
  TR_TAKE(value, number, 15, ctx->r15)
  return value;
}

/* Whether a conditional jump would jump: Intel's manual, volume 1, appendix B. */
TR_INLINE bool condition_holds(__u64 flags, __u32 condition) {
  bool carry = flags & 1, parity = flags >> 2 & 1, zero = flags >> 6 & 1, sign = flags >> 7 & 1,
       overflow = flags >> 11 & 1;
  bool holds = false;
  switch (condition >> 1) {
    case 0:
      holds = overflow;
      break;
    case 1:
      holds = carry;
      break;
    case 2:
      holds = zero;
      break;
    case 3:
      holds = carry || zero;
      break;
    case 4:
      holds = sign;
      break;
    case 5:
      holds = parity;
      break;
    case 6:
      holds = sign != overflow;
      break;
    case 7:
      holds = zero || sign != overflow;
      break;
  }
  return holds != (condition & 1);
}

#endif
