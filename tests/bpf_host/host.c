/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Constants that the loader sets, which tests set too; so nothing of bpf/ is constant here. */
#define const
#include "bpf/tracer.bpf.c"
#undef const

#include "tests/bpf_host/host.h"

/* The kernel's structs behind one task, as long as a program runs in its name. */
struct kernel_task {
  struct task_struct task;
  struct signal_struct signal;
  struct mm_struct___counted mm;
  struct xol_area area;
  struct uprobe_task probes;
  struct return_instance returns[TR_HOST_RETURNS];
  struct task_struct parent;
  const struct host_task* of;
  __u64 cookie;
  struct pt_regs user; /* as the thread has entered the kernel */
};

static struct kernel_task* current;

static void begin(struct kernel_task* out, const struct host_task* task, __u64 cookie) {
  out->area.vaddr = task->trampoline;
  out->mm.uprobes_state.xol_area = task->trampoline ? &out->area : (struct xol_area*)0;
  out->signal.live.counter = task->live_threads;
  out->task.pid = (int)task->pid;
  out->task.tgid = (int)task->tgid;
  out->task.exit_code = task->exit_code;
  out->task.group_leader = &out->task;
  out->task.real_parent = &out->parent;
  out->task.start_boottime = task->started_ns;
  for (__u32 i = 0; i < TR_COMM; i++) out->task.comm[i] = task->comm[i];
  out->parent.tgid = (int)task->parent_tgid;
  out->of = task;
  out->mm.mm_lock_seq.sequence = task->layout;
  out->mm.exec_vm = task->executable_pages;
  out->mm.start_stack = task->start_stack;
  out->mm.brk = task->brk;
  out->task.pagefault_disabled = task->pagefault_disabled;
  out->task.mm = (struct mm_struct*)&out->mm;
  out->task.signal = &out->signal;
  out->mm.context.vdso = (void*)task->vdso;
  for (__u32 i = 0; i < task->return_count; i++) {
    out->returns[i].stack = task->returns[i].slot;
    out->returns[i].orig_ret_vaddr = task->returns[i].address;
    out->returns[i].next = i + 1 < task->return_count ? &out->returns[i + 1] : (struct return_instance*)0;
  }
  if (task->return_count) out->probes.return_instances = out->returns;
  out->task.utask = &out->probes;
  out->cookie = cookie;
}

static struct kernel_task* switch_to(struct kernel_task* next) {
  struct kernel_task* previous = current;
  current = next;
  return previous;
}

static struct pt_regs context_of(const struct host_registers* r) {
  struct pt_regs out = {.bp = r->bp,
                        .ax = r->ax,
                        .dx = r->dx,
                        .si = r->si,
                        .di = r->di,
                        .ip = r->ip,
                        .sp = r->sp,
                        .r10 = r->r10,
                        .orig_ax = r->orig_ax};
  out.cx = r->cx;
  out.r11 = r->r11;
  out.flags = r->flags;
  return out;
}

/* `task` is current while the program runs, and then the one that was current before. */
static void run_with_registers(int (*program)(struct pt_regs*), const struct host_task* task,
                               const struct host_registers* registers, __u64 cookie) {
  struct kernel_task kernel = {0};
  struct pt_regs context = context_of(registers);
  begin(&kernel, task, cookie);
  struct kernel_task* previous = switch_to(&kernel);
  program(&context);
  switch_to(previous);
}

void host_heap_entry(const struct host_task* task, const struct host_registers* registers, __u64 cookie) {
  run_with_registers(heap_entry, task, registers, cookie);
}

void host_heap_return(const struct host_task* task, const struct host_registers* registers) {
  run_with_registers(heap_return, task, registers, 0);
}

void host_heap_exit(const struct host_task* task, const struct host_registers* registers, __u64 exit) {
  run_with_registers(heap_exit, task, registers, exit);
}

void host_library_entry(const struct host_task* task) {
  const struct host_registers none = {0};
  run_with_registers(library_entry, task, &none, 0);
}

long bpf_task_pt_regs(struct task_struct* task) {
  (void)task;
  return (long)&current->user;
}

/* On a tracepoint that has the registers of the thread as an argument, wherever `registers_at` says. */
static void run_in_kernel(int (*program)(struct bpf_raw_tracepoint_args*), const struct host_task* task,
                          const struct host_registers* registers, __u64* arguments, int registers_at) {
  struct kernel_task kernel = {0};
  begin(&kernel, task, 0);
  kernel.user = context_of(registers);
  arguments[registers_at] = (__u64)&kernel.user;
  struct kernel_task* previous = switch_to(&kernel);
  program((struct bpf_raw_tracepoint_args*)arguments);
  switch_to(previous);
}

void host_memory_call_entry(const struct host_task* task, const struct host_registers* registers) {
  __u64 arguments[2] = {0, registers->orig_ax};
  run_in_kernel(memory_call_entry, task, registers, arguments, 0);
}

void host_memory_call_return(const struct host_task* task, const struct host_registers* registers, __u64 result) {
  __u64 arguments[2] = {0, result};
  run_in_kernel(memory_call_return, task, registers, arguments, 0);
}

void host_page_fault(const struct host_task* task, const struct host_registers* registers, __u64 address,
                     __u64 error_code) {
  __u64 arguments[3] = {address, 0, error_code};
  run_in_kernel(user_page_fault, task, registers, arguments, 1);
}

/* The programs that user space runs itself, in the name of its own task. */
static __s32 run_with_argument(int (*program)(struct bpf_raw_tracepoint_args*), const struct host_task* task,
                               __u64 argument) {
  struct kernel_task kernel = {0};
  __u64 arguments[1] = {argument};
  begin(&kernel, task, 0);
  struct kernel_task* previous = switch_to(&kernel);
  __s32 answer = program((struct bpf_raw_tracepoint_args*)arguments);
  switch_to(previous);
  return answer;
}

__s32 host_identify(const struct host_task* task, __u64 address) {
  return run_with_argument(identify_mapping, task, address);
}

__s32 host_is_mapped(const struct host_task* task, __u64 address) {
  return run_with_argument(is_mapped, task, address);
}

__s32 host_release(const struct host_task* task, __u32 space) { return run_with_argument(space_release, task, space); }

void host_mapping_change(const struct host_task* task) {
  struct kernel_task kernel = {0};
  begin(&kernel, task, 0);
  struct kernel_task* previous = switch_to(&kernel);
  mapping_change((void*)0);
  switch_to(previous);
}

/* The programs on tracepoints; one tracepoint has two arguments at most. */
static void run_with_arguments(int (*program)(struct bpf_raw_tracepoint_args*), struct kernel_task* task,
                               const struct kernel_task* second) {
  __u64 arguments[2] = {(__u64)&task->task, second ? (__u64)&second->task : 0};
  struct kernel_task* previous = switch_to(task);
  program((struct bpf_raw_tracepoint_args*)arguments);
  switch_to(previous);
}

void host_process_fork(const struct host_task* parent, const struct host_task* child, int shares_memory) {
  struct kernel_task kernel_parent = {0};
  struct kernel_task kernel_child = {0};
  begin(&kernel_parent, parent, 0);
  begin(&kernel_child, child, 0);
  if (shares_memory) kernel_child.task.mm = kernel_parent.task.mm;
  run_with_arguments(process_fork, &kernel_parent, &kernel_child);
}

static int exec_program(struct bpf_raw_tracepoint_args* arguments) { return process_exec(arguments); }

void host_process_exec(const struct host_task* task) {
  struct kernel_task kernel = {0};
  begin(&kernel, task, 0);
  run_with_arguments(exec_program, &kernel, (struct kernel_task*)0);
}

void host_process_exit(const struct host_task* task) {
  struct kernel_task kernel = {0};
  begin(&kernel, task, 0);
  run_with_arguments(process_exit, &kernel, (struct kernel_task*)0);
}

__u64 host_negative_log(__u32 random) { return negative_log(random); }

struct host_weight host_weigh(__u64 size, __u64 distance, __u64 birth_tick) {
  struct tr_weight weight = {0};
  weigh(&weight, size, distance, birth_tick);
  struct host_weight out = {weight.units, weight.bytes, weight.variance, weight.birth_ticks};
  return out;
}

struct tr_globals* host_globals(void) {
  return &globals;
}

struct tr_config* host_config(void) {
  return (struct tr_config*)&config;
}

struct tr_misuse* host_misuse(void) {
  return (struct tr_misuse*)&misuse;
}

struct tr_filter* host_filter(void) {
  return (struct tr_filter*)&filter;
}

#define TR_HOST_COUNT(map, field) (sizeof(*(map).field) / sizeof(int))
#define TR_HOST_MAP(map) \
  { &map, #map, TR_HOST_COUNT(map, type), sizeof(*(map).key), sizeof(*(map).value), TR_HOST_COUNT(map, max_entries) }
#define TR_HOST_STACK(map) \
  { &map, #map, TR_HOST_COUNT(map, type), 0, sizeof(*(map).value), TR_HOST_COUNT(map, max_entries) }

const struct host_map* host_maps(__u32* count) {
  static const struct host_map maps[] = {
      TR_HOST_MAP(processes),
      TR_HOST_MAP(spaces),
      TR_HOST_MAP(blocks),
      TR_HOST_MAP(stack_ids),
      TR_HOST_MAP(stacks),
      TR_HOST_MAP(young),
      TR_HOST_MAP(unverified),
      TR_HOST_MAP(variances),
      TR_HOST_MAP(faults),
      TR_HOST_MAP(freed_blocks),
      TR_HOST_MAP(anomalies),
      TR_HOST_MAP(stack_chunks),
      TR_HOST_MAP(modules),
      TR_HOST_MAP(module_info),
      TR_HOST_MAP(tables),
      TR_HOST_MAP(unwind_words),
      TR_HOST_MAP(rules),
      TR_HOST_MAP(pcs),
      TR_HOST_MAP(ranges),
      TR_HOST_MAP(origins),
      TR_HOST_MAP(stack_links),
      TR_HOST_STACK(free_spaces),
      TR_HOST_STACK(free_stacks),
      TR_HOST_STACK(free_chunks),
      {&events, "events", TR_HOST_COUNT(events, type), 0, 0, TR_HOST_COUNT(events, max_entries)},
      {&memory_events, "memory_events", TR_HOST_COUNT(memory_events, type), 0, 0,
       TR_HOST_COUNT(memory_events, max_entries)},
      {&raw_stacks, "raw_stacks", TR_HOST_COUNT(raw_stacks, type), 0, 0, TR_HOST_COUNT(raw_stacks, max_entries)}};
  *count = sizeof(maps) / sizeof(maps[0]);
  return maps;
}

void* bpf_task_storage_get(void* map, struct task_struct* task, void* value, __u64 flags) {
  (void)value;
  if (map != &threads) return (void*)0;
  return host_task_storage((__u32)task->pid, sizeof(*threads.value), flags & BPF_LOCAL_STORAGE_GET_F_CREATE);
}

struct task_struct* bpf_get_current_task_btf(void) {
  return &current->task;
}

long bpf_tail_call(void* ctx, void* programs, __u32 index) {
  (void)ctx;
  (void)programs;
  (void)index;
  return -1;
}

long bpf_loop(__u32 count, void* callback, void* context, __u64 flags) {
  __u32 i = 0;
  (void)flags;
  while (i < count && !((long (*)(__u32, void*))callback)(i, context)) i++;
  return i;
}

#define TR_HOST_PATH_PARTS 32

/* Builds the entries of a path, the file's own first, below a root that is its own parent. */
static struct dentry* entries_of(const char* path, struct super_block* block, char* names, struct dentry* entries) {
  __u32 count = 1;
  entries[0].d_name.name = (void*)"/";
  for (const char* at = path; at && *at; count++) {
    entries[count].d_name.name = (void*)names;
    for (at++; *at && *at != '/'; at++) *names++ = *at;
    *names++ = 0;
  }
  for (__u32 i = 0; i < count; i++) {
    entries[i].d_sb = block;
    entries[i].d_parent = i ? &entries[i - 1] : &entries[0];
  }
  return &entries[count - 1];
}

#define TR_HOST_AREAS 64

/* The tree of a file's mappings, as far from balanced as can be. */
static void plant(struct address_space* tree, struct vm_area_struct* areas, __u32 own, __u32 count,
                  struct mm_struct* mm) {
  struct rb_node** place = &tree->i_mmap.rb_root.rb_node;
  for (__u32 i = 0; i < count && i < TR_HOST_AREAS; i++) {
    areas[i].vm_mm = i < own ? mm : (struct mm_struct*)0;
    *place = &areas[i].shared.rb;
    place = i % 2 ? &areas[i].shared.rb.rb_left : &areas[i].shared.rb.rb_right;
  }
}

long bpf_find_vma(struct task_struct* task, __u64 address, void* callback, void* context, __u64 flags) {
  struct host_mapping mapping = {0};
  char names[4096];
  struct dentry entries[TR_HOST_PATH_PARTS] = {0};
  (void)flags;
  __s32 error = host_find_mapping((__u32)task->tgid, address, &mapping);
  if (error) return error;
  struct super_block block = {.s_dev = mapping.key.device};
  struct inode___split inode = {.i_ino = mapping.key.inode,
                                .i_size = (long long)mapping.key.size,
                                .i_generation = mapping.key.generation,
                                .i_sb = &block,
                                .i_ctime_sec = (long long)(mapping.key.changed_ns / 1000000000),
                                .i_ctime_nsec = (unsigned)(mapping.key.changed_ns % 1000000000)};
  struct vm_area_struct areas[TR_HOST_AREAS] = {0};
  struct address_space tree = {0};
  plant(&tree, areas, mapping.own + 1, mapping.own + 1 + mapping.others, task->mm);
  struct file file = {.f_inode = (struct inode*)&inode, .f_mapping = &tree};
  if (mapping.has_file) file.f_path.dentry = entries_of(mapping.path, &block, names, entries);
  struct vm_area_struct area = {.vm_start = mapping.start,
                                .vm_end = mapping.end,
                                .vm_flags = mapping.executable ? TR_VM_EXEC : 0,
                                .vm_pgoff = mapping.file_offset >> TR_PAGE_SHIFT,
                                .vm_file = mapping.has_file ? &file : (struct file*)0};
  ((long (*)(struct task_struct*, struct vm_area_struct*, void*))callback)(task, &area, context);
  return 0;
}

__u64 bpf_get_current_pid_tgid(void) { return (__u64)(__u32)current->task.tgid << 32 | (__u32)current->task.pid; }

__u64 bpf_get_current_uid_gid(void) { return current->of->uid; }

__u64 bpf_get_current_ancestor_cgroup_id(int level) {
  return level >= 0 && level < TR_HOST_CGROUPS ? current->of->cgroups[level] : 0;
}

__u64 bpf_get_current_cgroup_id(void) {
  __u64 own = 0;
  for (int i = 0; i < TR_HOST_CGROUPS; i++)
    if (current->of->cgroups[i]) own = current->of->cgroups[i];
  return own;
}

long bpf_get_ns_current_pid_tgid(__u64 device, __u64 inode, struct bpf_pidns_info* out, __u32 size) {
  (void)device;
  (void)size;
  *out = (struct bpf_pidns_info){0};
  return current->of->pid_namespace == inode ? 0 : -1;
}

__u64 bpf_get_attach_cookie(void* ctx) {
  (void)ctx;
  return current->cookie;
}
