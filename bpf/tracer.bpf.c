/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel half of tracer: the programs, in the order in which to read them. Each is one line; what it does
 * is in the header of its concern.
 */
#include "bpf/heap.bpf.h"
#include "bpf/library.bpf.h"
#include "bpf/memory.bpf.h"
#include "bpf/module.bpf.h"
#include "bpf/process.bpf.h"
#include "bpf/release.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * Since Linux 6.13 a program of this type may get a stack of its own, one per CPU, in place of the kernel's. Programs
 * on uprobes can be preempted, and another thread that runs the same program on the same CPU would then write into it:
 * seen on a preemptible Linux 7.3 as sizes and addresses of one call in the books of another. A program with a tail
 * call in it is left on the kernel's stack; this one is never made, and the verifier removes it.
 */
TR_INLINE void keep_kernel_stack(void* ctx) {
  if (config.max_frames == 0) bpf_tail_call(ctx, &no_programs, 0);
}

/* At the probe site of every allocator function; the cookie says what the function is. */
SEC("uprobe")
int heap_entry(struct pt_regs* ctx) {
  keep_kernel_stack(ctx);
  return heap_enter(ctx, bpf_get_attach_cookie(ctx));
}

/* At the return of those that hand out blocks. */
SEC("uretprobe")
int heap_return(struct pt_regs* ctx) {
  keep_kernel_stack(ctx);
  return heap_leave(ctx);
}

/* At the exits of those that an exception can leave; the cookie says where the result is. */
SEC("uprobe")
int heap_exit(struct pt_regs* ctx) {
  keep_kernel_stack(ctx);
  return heap_exit_at(ctx, bpf_get_attach_cookie(ctx));
}

/* In the dynamic linker. */
SEC("uprobe")
int library_entry(struct pt_regs* ctx) {
  keep_kernel_stack(ctx);
  return library_enter();
}

/* Run by user space itself, which has mapped a file at the address: which file is it? */
SEC("raw_tp")
int identify_mapping(struct bpf_raw_tracepoint_args* ctx) { return module_at(ctx->args[0]); }

/* The same: does anybody else map the file? */
SEC("raw_tp")
int is_mapped(struct bpf_raw_tracepoint_args* ctx) { return has_other_mappings(ctx->args[0]); }

/* Run by user space for an ended address space. */
SEC("raw_tp")
int space_release(struct bpf_raw_tracepoint_args* ctx) { return release_space((__u32)ctx->args[0]); }

/* After system calls that change mappings; attached on kernels before 6.4 only. */
SEC("tracepoint")
int mapping_change(void* ctx) {
  (void)ctx;
  return mappings_changed();
}

/* Before and after system calls; attached with --events mmap only. The tracepoints of single calls would need tracefs,
 * and slow all calls down as well. */
SEC("raw_tp/sys_enter")
int memory_call_entry(struct bpf_raw_tracepoint_args* ctx) {
  return memory_call_enters((const struct pt_regs*)ctx->args[0], ctx->args[1]);
}

SEC("raw_tp/sys_exit")
int memory_call_return(struct bpf_raw_tracepoint_args* ctx) {
  return memory_call_leaves((const struct pt_regs*)ctx->args[0], ctx->args[1]);
}

/* When a page is touched; attached with --events fault only. */
SEC("raw_tp/page_fault_user")
int user_page_fault(struct bpf_raw_tracepoint_args* ctx) { return page_faulted(ctx->args[0], ctx->args[2]); }

SEC("raw_tp/page_fault_kernel")
int kernel_page_fault(struct bpf_raw_tracepoint_args* ctx) { return page_faulted(ctx->args[0], ctx->args[2]); }

SEC("raw_tp/sched_process_fork")
int process_fork(struct bpf_raw_tracepoint_args* ctx) {
  process_forked((struct task_struct*)ctx->args[0], (struct task_struct*)ctx->args[1]);
  return 0;
}

SEC("raw_tp/sched_process_exec")
int process_exec(void* ctx) {
  (void)ctx;
  process_executed();
  return 0;
}

SEC("raw_tp/sched_process_exit")
int process_exit(struct bpf_raw_tracepoint_args* ctx) {
  thread_exited((struct task_struct*)ctx->args[0]);
  return 0;
}
