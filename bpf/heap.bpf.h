/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What an allocator call means. Two steps: heap_enter() at the probe site of the function, heap_leave() at its
 * return, or heap_exit_at() where it is about to return; free needs the first only.
 *
 * The outermost call counts: realloc calls malloc, posix_memalign calls memalign, a preloaded allocator calls libc's. A
 * call that never returns (longjmp, a signal handler that leaves) is noticed by the stack pointers and by its return
 * address.
 */
#ifndef TRACER_BPF_HEAP_H
#define TRACER_BPF_HEAP_H

#include "bpf/account.bpf.h"
#include "bpf/adopt.bpf.h"
#include "bpf/exit.bpf.h"
#include "bpf/misuse.bpf.h"
#include "bpf/module.bpf.h"
#include "bpf/stack.bpf.h"
#include "bpf/unwind.bpf.h"

/* Argument `n` (from 1) of the System V x86-64 calling convention; 0 for none. */
TR_INLINE __u64 argument(const struct pt_regs* ctx, __u32 n) {
  __u64 first = ctx->di, second = ctx->si, third = ctx->dx, fourth = ctx->cx;
  /* Loaded at fixed offsets: the verifier refuses a context pointer that clang has computed. */
  asm volatile("" : "+r"(first), "+r"(second), "+r"(third), "+r"(fourth));
  return n == 1 ? first : n == 2 ? second : n == 3 ? third : n == 4 ? fourth : 0;
}

/* The requested size; a product that overflows is the largest size, since the call will fail. */
TR_INLINE __u64 requested_size(const struct pt_regs* ctx, __u64 cookie) {
  __u64 size = argument(ctx, TR_COOKIE_SIZE_ARG(cookie));
  if (!TR_COOKIE_COUNT_ARG(cookie)) return size;
  __u64 count = argument(ctx, TR_COOKIE_COUNT_ARG(cookie));
  __u64 limit = count ? ~0ULL / count : ~0ULL;
  /* Hides the idiom from clang, which would call for a 128-bit multiplication that BPF does not have. */
  asm volatile("" : "+r"(limit));
  return size > limit ? ~0ULL : size * count;
}

/* What operator new asks malloc for: one byte at least, and with an alignment (in the place of a count) a multiple of
 * it (libstdc++, new_op.cc and new_opa.cc). */
TR_INLINE __u64 size_of_operator(const struct pt_regs* ctx, __u64 cookie) {
  __u64 size = argument(ctx, TR_COOKIE_SIZE_ARG(cookie));
  if (!size) size = 1;
  if (!TR_COOKIE_COUNT_ARG(cookie)) return size;
  __u64 alignment = argument(ctx, TR_COOKIE_COUNT_ARG(cookie));
  return (size + alignment - 1) & -alignment;
}

TR_INLINE struct tr_thread* thread_state(__u64 flags) {
  return bpf_task_storage_get(&threads, bpf_get_current_task_btf(), 0, flags);
}

/* The thread's first call in this address space, or its first after an exec: nothing of before is in flight. */
TR_INLINE void join_space(struct tr_thread* t, __u32 space_id, const struct tr_space* space) {
  if (t->space == space_id && t->serial == space->serial) return;
  t->space = space_id;
  t->serial = space->serial;
  t->sp = 0;
  t->freed_address = 0;
  t->range.end = 0;
}

/*
 * Whether the call in flight is still on the stack below `sp`. Its return address has been replaced by the kernel's
 * trampoline for as long as it has not returned; anything else in that slot says that it was abandoned. An open call
 * has its own return address there, and nobody calls from where it was called while it is in flight.
 */
TR_INLINE bool is_inside_call(const struct tr_thread* t, __u64 sp) {
  __u64 slot = 0;
  if (sp > t->sp || (t->open_return && sp == t->sp)) return false;
  if (bpf_probe_read_user(&slot, sizeof(slot), (const void*)t->sp)) return false;
  return slot == (t->open_return ? t->open_return : return_trampoline());
}

/* A block of the address space that the thread is in. */
TR_INLINE struct tr_block_key block_key(const struct tr_thread* t, __u64 address) {
  struct tr_block_key key = {.address = address, .space = t->space, .serial = t->serial};
  return key;
}

/* The stack of a call that frees, which is of interest only for misuse. */
TR_INLINE __u32 stack_of_free(struct tr_thread* t, const struct pt_regs* ctx) {
  if (!unwind(t, ctx->ip, ctx->sp, ctx->bp)) finish_unwinding(t);
  return stack_id_of(t);
}

TR_INLINE void watch_unknown(struct tr_thread* t, const struct pt_regs* ctx, const struct tr_block_key* key) {
  if (!check_unknown(t, key)) return;
  t->found.stack_id = stack_of_free(t, ctx);
  tell_anomaly(&t->found, &t->first);
}

TR_INLINE void free_enter(struct tr_thread* t, struct tr_space* space, const struct pt_regs* ctx, __u64 cookie,
                          __u64 address) {
  struct tr_block_key key = block_key(t, address);
  struct tr_block block;
  __u64 sp = ctx->sp;
  if (!address) return;
  __u32 kind = misuse.watched ? kind_of_call(t, cookie, true, address, sp) : TR_KIND_C;
  if (take_block(&key, &block)) {
    change_live_bytes(space, -account_free(&block));
    t->freed_address = address;
    t->freed_sp = sp;
    if (misuse.watched) check_freed(&key, &block, kind, stack_of_free(t, ctx));
    return;
  }
  /* A wrapper that passes the block on to the next allocator: the same block, deeper in the stack, is one free. */
  if (address == t->freed_address && sp < t->freed_sp) {
    t->freed_address = 0;
    return;
  }
  count_unknown_free(space);
  if (misuse.watched && !space->sampled) watch_unknown(t, ctx, &key);
}

/* realloc takes the block out at once: when it returns, another thread may own the address already. */
TR_INLINE void realloc_enter(struct tr_thread* t) {
  struct tr_block_key key = block_key(t, t->old_address);
  t->old_known = t->old_address && take_block(&key, &t->old);
}

/* The realloc in flight has not happened, as far as we know: its block is in the books as it was. */
TR_INLINE void put_back_block(struct tr_thread* t, struct tr_space* space) {
  struct tr_block_key key = block_key(t, t->old_address);
  if (!t->old_known) return;
  long error = bpf_map_update_elem(&blocks, &key, &t->old, BPF_NOEXIST);
  if (error) {
    /* Somebody else has the address by now, or the table has filled up. */
    lose(error == -TR_EEXIST ? TR_LOSS_FREE_MISSED : TR_LOSS_BLOCKS_FULL);
    change_live_bytes(space, -account_free(&t->old));
  }
}

/* realloc takes what malloc gives. */
TR_INLINE void check_realloc(struct tr_thread* t, const struct tr_space* space, const struct pt_regs* ctx) {
  struct tr_block_key key = block_key(t, t->old_address);
  if (!t->old_address || space->sampled) return;
  if (!t->old_known)
    watch_unknown(t, ctx, &key);
  else if (t->old.kind != TR_KIND_C)
    check_freed(&key, &t->old, TR_KIND_C, stack_of_free(t, ctx));
}

/* An exception is made. If that is inside of an open call, it has failed: its exits will not be passed. The block that
 * the exception is in is one of the program's then, which frees it. */
TR_INLINE int exception_made(const struct pt_regs* ctx) {
  struct tr_thread* t = thread_state(0);
  if (!t || !t->sp || !t->open_return || !is_inside_call(t, ctx->sp)) return 0;
  t->sp = 0;
  struct tr_space* space = find_space(t->space);
  if (!space || space->serial != t->serial) return 0;
  if (t->pause == globals.pause) __sync_fetch_and_add(&space->failed_objects, 1);
  put_back_block(t, space);
  return 0;
}

TR_INLINE int heap_enter(const struct pt_regs* ctx, __u64 cookie) {
  if (!globals.recording) return 0;
  if (TR_COOKIE_CALL(cookie) == TR_CALL_THROW) return exception_made(ctx);
  __u32 space_id = space_of_current();
  struct tr_space* space = find_space(space_id);
  if (!space || !space_id || space->sample_level == TR_LEVEL_MUTED) return 0;
  struct tr_thread* t = thread_state(BPF_LOCAL_STORAGE_GET_F_CREATE);
  if (!t) {
    lose(TR_LOSS_THREAD_STATE);
    return 0;
  }
  count_event(t, space);
  join_space(t, space_id, space);
  if (t->pause != globals.pause) {
    /* What was in flight when recording was interrupted ended unseen, like all that began later. */
    if (t->sp) put_back_block(t, space);
    t->pause = globals.pause;
    t->sp = 0;
    t->freed_address = 0;
  }
  if (t->sp) {
    if (is_inside_call(t, ctx->sp)) {
      __sync_fetch_and_add(&globals.calls_nested, 1);
      return 0;
    }
    lose(TR_LOSS_CALL_ABANDONED);
    put_back_block(t, space);
    t->sp = 0;
  }

  __u32 call = TR_COOKIE_CALL(cookie);
  __u64 pointer = argument(ctx, TR_COOKIE_POINTER_ARG(cookie));
  if (call == TR_CALL_FREE) {
    free_enter(t, space, ctx, cookie, pointer);
    return 0;
  }
  if (call == TR_CALL_MARK) {
    leave_mark(t, cookie, TR_COOKIE_IS_FREE(cookie) ? pointer : size_of_operator(ctx, cookie), ctx->sp);
    return 0;
  }

  t->call = call;
  t->size = requested_size(ctx, cookie);
  t->kind = misuse.watched ? kind_of_call(t, cookie, false, t->size, ctx->sp) : TR_KIND_C;
  t->skip = skip_of(t, space);
  t->out_address = pointer;
  t->old_address = 0;
  t->old_known = 0;
  if (call == TR_CALL_REALLOC || call == TR_CALL_RESIZE) {
    t->old_address = pointer;
    realloc_enter(t);
    if (misuse.watched) check_realloc(t, space, ctx);
  }
  if (!t->skip) {
    t->stack_id = unwind(t, ctx->ip, ctx->sp, ctx->bp) ? stack_id_of(t) : TR_NO_STACK;
  }
  t->open_return = 0;
  if ((cookie & TR_COOKIE_EXITS) &&
      bpf_probe_read_user(&t->open_return, sizeof(t->open_return), (const void*)ctx->sp)) {
    lose(TR_LOSS_READ_FAULT);
    put_back_block(t, space);
    return 0;
  }
  t->sp = ctx->sp;
  return 0;
}

/* Goes on with the stack of the call in flight if another thread was changing the address space at its entry: its
 * callers are still there. */
TR_INLINE void finish_stack(struct tr_thread* t) {
  if (t->skip || t->stack_id != TR_NO_STACK) return;
  finish_unwinding(t);
  t->stack_id = stack_id_of(t);
}

/* The address of the block that the call in flight gives, 0 when it failed. False when it could not be read. */
TR_INLINE bool returned_block(const struct tr_thread* t, __u64 result, __u64* address) {
  *address = result;
  if (t->call == TR_CALL_RESIZE) *address = result >= t->size ? t->old_address : 0;
  if (t->call != TR_CALL_ALLOC_OUT) return true;
  *address = 0;
  if ((__u32)result != 0) return true;
  return bpf_probe_read_user(address, sizeof(*address), (const void*)t->out_address) == 0;
}

/* A failed realloc leaves the block as it was; a realloc to size 0 that returns NULL has freed it (glibc). */
TR_INLINE void realloc_failed(struct tr_thread* t, struct tr_space* space) {
  if (t->old_address && t->size == 0 && t->call == TR_CALL_REALLOC) {
    if (!t->old_known) {
      count_unknown_free(space);
      return;
    }
    change_live_bytes(space, -account_free(&t->old));
    return;
  }
  __sync_fetch_and_add(&space->failed_objects, 1);
  put_back_block(t, space);
}

/* A successful call: one allocation, and for a realloc one free. */
TR_INLINE void call_succeeded(struct tr_thread* t, struct tr_space* space, __u64 address) {
  struct tr_block_key key = block_key(t, address);
  struct tr_block block = {.size = t->size, .kind = t->kind & 3, .level = t->call_level, .pause = t->pause & 0xffff};
  __s64 delta = 0;
  /* Should its address be in the books, whose free was then not seen, the free of this one settles that. */
  if (t->skip == TR_SKIP_UNSAMPLED && !t->old_known) return;
  finish_stack(t);
  block.stack_id = t->stack_id;
  if (t->old_known) {
    /* A block that grows keeps its age: a vector that leaks for an hour is an hour old. */
    block.birth_tick = t->old.birth_tick;
    block.generation = t->old.generation;
    delta = -account_free(&t->old);
    if (misuse.watched && t->old_address != address) {
      struct tr_block_key old_key = block_key(t, t->old_address);
      remember_freed(&old_key, &t->old, t->stack_id);
    }
  } else {
    block.birth_tick = globals.tick;
    block.generation = globals.generation;
    if (t->old_address) count_unknown_free(space);
  }
  if (t->skip == TR_SKIP_FILTERED)
    miss_free(space, &key);
  else if (t->skip == TR_SKIP_NONE)
    delta += enter_block(space, &key, &block);
  if (t->freed_address == address) t->freed_address = 0;
  forget_freed(&key);
  change_live_bytes(space, delta);
}

/* The call in flight ends with `result`. */
TR_INLINE int end_call(struct tr_thread* t, __u64 result) {
  t->sp = 0;
  struct tr_space* space = find_space(t->space);
  if (!space || space->serial != t->serial) return 0;
  if (t->pause != globals.pause) {
    /* Recording was interrupted since the entry: what was allocated meanwhile is unknown. */
    put_back_block(t, space);
    return 0;
  }
  __u64 address = 0;
  if (!returned_block(t, result, &address)) {
    lose(TR_LOSS_READ_FAULT);
    return 0;
  }
  if (address)
    call_succeeded(t, space, address);
  else if (t->call == TR_CALL_REALLOC || t->call == TR_CALL_RESIZE)
    realloc_failed(t, space);
  else
    __sync_fetch_and_add(&space->failed_objects, 1);
  return 0;
}

TR_INLINE int heap_leave(const struct pt_regs* ctx) {
  struct tr_thread* t = thread_state(0);
  /* The call's own return has popped its return address; any other return belongs to an inner call. */
  if (!t || !t->sp || t->open_return || ctx->sp != t->sp + sizeof(__u64)) return 0;
  return end_call(t, ctx->ax);
}

/* `exit`: TR_EXIT. */
TR_INLINE int heap_exit_at(const struct pt_regs* ctx, __u64 exit) {
  struct tr_thread* t = thread_state(0);
  if (!t || !t->sp || !t->open_return || ctx->sp + TR_EXIT_STACK_BYTES(exit) != t->sp) return 0;
  if (TR_EXIT_IS_CONDITIONAL(exit) && !condition_holds(ctx->flags, TR_EXIT_CONDITION(exit))) return 0;
  return end_call(t, register_of(ctx, TR_EXIT_RESULT(exit)));
}

#endif
