/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From an address to the file behind it. The kernel itself is the list of mappings: nothing here keeps ranges of its
 * own. An address is looked up among the mappings of the running thread, the file behind the mapping is known by what
 * its inode says (tr_file_key), and a file that is met for the first time gets a number at once, whatever user space is
 * doing.
 *
 *   address ──► pcs (checked by layout) ──► frame and rule
 *      └─ miss ──► last mapping of the thread (checked by layout) ──► frame ──► rule (table.bpf.h)
 *            └─ miss ──► bpf_find_vma ──► tr_file_key ──► modules ──► frame ──► rule
 *
 * What was looked up is believed for as long as the layout of the address space, a number that grows with every change
 * of its mappings, is the same. So an unmapped library is never believed in, and one that is mapped again is known
 * before its constructors run.
 */
#ifndef TRACER_BPF_MODULE_H
#define TRACER_BPF_MODULE_H

#include "bpf/table.bpf.h"

/* Names of a path that are kept, and the room for each; a longer path is not kept whole and cannot be opened. */
#define TR_PATH_PARTS 16
#define TR_PATH_PART 64
/* Attempts to look a mapping up while another thread changes the address space, some 20 ns each: at the entry of a
 * call, and at its return, when there is no other chance. */
#define TR_LOOKUP_TRIES 8
#define TR_LOOKUP_LAST_TRIES 256
#define TR_VM_EXEC 4
#define TR_PAGE_SHIFT 12
/* The kernel keeps a flag of its own in the nanoseconds of the change time (I_CTIME_QUERIED, include/linux/fs.h). */
#define TR_NANOSECONDS 0x7fffffff

enum tr_lookup {
  TR_LOOKUP_DONE = 0,
  TR_LOOKUP_NO_CODE,  /* nothing executable is mapped there */
  TR_LOOKUP_BUSY,     /* another thread changes the address space at this moment */
  TR_LOOKUP_NO_TABLE, /* the file is known, its unwind table is not there yet */
};

/* What is known of an address. */
struct tr_place {
  __u64 frame; /* TR_FRAME without flags */
  __u64 rule;  /* struct tr_rule */
};

struct tr_mapping {
  __u64 start;
  __u64 end;
  __u64 file_offset;
  struct tr_file_key key;
  __u64 modified_ns;
  __u32 executable;
  __u32 has_file;
  __u32 is_vdso;
  __u32 padding;
};

/*
 * A number that changes with the mappings of the current address space. Since Linux 6.4 the kernel counts writers of
 * the address space itself: odd while one is at work, so that the lowest bit says nothing about what was true before.
 * What the mappings were before a change holds until it is done: no thread can rightly run in a mapping that is being
 * made.
 */
TR_INLINE __u32 layout_of(__u32 space_id) {
  if (config.count_layout) {
    struct tr_space* space = find_space(space_id);
    return space ? space->layout : 0;
  }
  struct mm_struct* mm = bpf_get_current_task_btf()->mm;
  if (!mm) return 0;
  if (bpf_core_field_exists(struct mm_struct___counted, mm_lock_seq.sequence))
    return ((struct mm_struct___counted*)mm)->mm_lock_seq.sequence & ~1U;
  if (bpf_core_field_exists(struct mm_struct___number, mm_lock_seq))
    return (__u32)((struct mm_struct___number*)mm)->mm_lock_seq;
  return 0;
}

/*
 * What libraries are loaded, as far as that can be told without a lock: a library that comes or goes is announced by
 * the dynamic linker, and changes the number of executable pages. Asked only when the layout has changed (a program
 * that maps and unmaps its large blocks does that all the time) and the mappings cannot be looked up, because somebody
 * changes them at this moment.
 */
TR_INLINE __u64 libraries_stamp(__u32 space_id) {
  struct tr_space* space = find_space(space_id);
  struct mm_struct* mm = bpf_get_current_task_btf()->mm;
  if (!space || !mm) return 0;
  return (__u64)space->announcements << 32 | (__u32)mm->exec_vm;
}

/* Linux 6.6, 6.7 and 6.11 renamed the times of last change. */
TR_INLINE __u64 changed_ns(struct inode* inode) {
  if (bpf_core_field_exists(struct inode___split, i_ctime_sec)) {
    struct inode___split* split = (struct inode___split*)inode;
    return (__u64)split->i_ctime_sec * 1000000000ULL + (split->i_ctime_nsec & TR_NANOSECONDS);
  }
  if (bpf_core_field_exists(struct inode___private, __i_ctime.tv_sec)) {
    struct inode___private* private = (struct inode___private*)inode;
    return (__u64) private->__i_ctime.tv_sec * 1000000000ULL + (__u64) private->__i_ctime.tv_nsec;
  }
  struct inode___plain* plain = (struct inode___plain*)inode;
  return (__u64)plain->i_ctime.tv_sec * 1000000000ULL + (__u64)plain->i_ctime.tv_nsec;
}

TR_INLINE __u64 modified_ns(struct inode* inode) {
  if (bpf_core_field_exists(struct inode___split, i_mtime_sec)) {
    struct inode___split* split = (struct inode___split*)inode;
    return (__u64)split->i_mtime_sec * 1000000000ULL + split->i_mtime_nsec;
  }
  if (bpf_core_field_exists(struct inode___private, __i_mtime.tv_sec)) {
    struct inode___private* private = (struct inode___private*)inode;
    return (__u64) private->__i_mtime.tv_sec * 1000000000ULL + (__u64) private->__i_mtime.tv_nsec;
  }
  struct inode___plain* plain = (struct inode___plain*)inode;
  return (__u64)plain->i_mtime.tv_sec * 1000000000ULL + (__u64)plain->i_mtime.tv_nsec;
}

static long read_mapping(struct task_struct* task, struct vm_area_struct* vma, struct tr_mapping* out) {
  (void)task;
  out->start = vma->vm_start;
  out->end = vma->vm_end;
  out->file_offset = (__u64)vma->vm_pgoff << TR_PAGE_SHIFT;
  out->executable = (vma->vm_flags & TR_VM_EXEC) != 0;
  struct file* file = vma->vm_file;
  struct mm_struct* mm = bpf_get_current_task_btf()->mm;
  out->is_vdso = !file && mm && (__u64)mm->context.vdso == out->start;
  if (!file) return 0;
  out->has_file = 1;
  struct inode* inode = file->f_inode;
  out->key.inode = inode->i_ino;
  out->key.size = (__u64)inode->i_size;
  out->key.generation = inode->i_generation;
  out->key.device = inode->i_sb->s_dev;
  out->key.changed_ns = changed_ns(inode);
  out->modified_ns = modified_ns(inode);
  return 0;
}

/* Writes down the path as the kernel has it: by names, from the file up, without what is mounted above. */
static long read_path(struct task_struct* task, struct vm_area_struct* vma, __u32* id) {
  (void)task;
  __u32 key = *id;
  struct tr_module* module = bpf_map_lookup_elem(&module_info, &key);
  struct file* file = vma->vm_file;
  if (!module || !file) return 0;
  struct dentry* entry = file->f_path.dentry;
  module->path_device = entry->d_sb->s_dev;
  __u64 at = 0;
  for (int i = 0; i < TR_PATH_PARTS; i++) {
    struct dentry* parent = entry->d_parent;
    if (entry == parent || at > TR_MODULE_PATH - TR_PATH_PART) break;
    long length = bpf_probe_read_kernel_str(module->path + at, TR_PATH_PART, entry->d_name.name);
    if (length <= 1 || length > TR_PATH_PART) break;
    at += (__u64)length;
    module->path_parts = (__u32)i + 1;
    entry = parent;
  }
  return 0;
}

/* Gives a file its number; another thread may be doing the same. */
static TR_CHECKED_ONCE __u32 add_module(const struct tr_mapping* mapping, __u32 space_id) {
  if (globals.next_module >= TR_MAX_MODULES) return TR_MODULE_UNNUMBERED;
  __u32 id = __sync_fetch_and_add(&globals.next_module, 1);
  struct tr_module* module = bpf_map_lookup_elem(&module_info, &id);
  if (!module || id == 0) return TR_MODULE_UNNUMBERED;
  module->key = mapping->key;
  module->start = mapping->start;
  module->end = mapping->end;
  module->file_offset = mapping->file_offset;
  module->time_ns = bpf_ktime_get_ns();
  module->modified_ns = mapping->modified_ns;
  module->tgid = current_tgid();
  bpf_find_vma(bpf_get_current_task_btf(), mapping->start, read_path, &id, 0);
  if (bpf_map_update_elem(&modules, &mapping->key, &id, BPF_NOEXIST)) {
    __u32* first = bpf_map_lookup_elem(&modules, &mapping->key);
    return first ? *first : TR_MODULE_UNNUMBERED;
  }
  module->known = 1;
  emit(TR_EVENT_MODULE, module->tgid, space_id, id);
  return id;
}

TR_INLINE __u32 module_of(const struct tr_mapping* mapping, __u32 space_id) {
  if (!mapping->has_file) return mapping->is_vdso ? globals.vdso_module : 0;
  __u32* id = bpf_map_lookup_elem(&modules, &mapping->key);
  return id ? *id : add_module(mapping, space_id);
}

TR_INLINE __u64 check_of_range(const struct tr_range* range) {
  __u64 check = mix(range->start, range->end);
  check = mix(check, range->bias);
  check = mix(check, range->stamp);
  return mix(check, (__u64)range->serial << 32 | range->module);
}

TR_INLINE struct tr_range* range_at(__u32 serial, __u32 slot) {
  __u32 index = (serial & (TR_RANGE_SETS - 1)) * TR_RANGES + (slot & (TR_RANGES - 1));
  return bpf_map_lookup_elem(&ranges, &index);
}

/* Keeps the thread's range for all threads of the address space. */
TR_INLINE void keep_range(struct tr_range* range) {
  struct tr_range* slot = range_at(range->serial, (__u32)(mix(range->start, 0) >> 32));
  range->check = check_of_range(range);
  if (slot && slot->check != range->check) *slot = *range;
}

/* Finds a range that was looked up before, with the same libraries loaded. */
TR_CHECKED_ONCE int recall_range(struct tr_thread* t, __u64 address, __u64 stamp) {
  if (!t) return false;
  for (__u32 i = 0; i < TR_RANGES; i++) {
    struct tr_range* slot = range_at(t->serial, i);
    if (!slot || address < slot->start || address >= slot->end) continue;
    if (slot->serial != t->serial || slot->stamp != stamp) continue;
    t->range = *slot;
    if (t->range.check == check_of_range(&t->range) && address >= t->range.start && address < t->range.end) return true;
  }
  t->range.end = 0;
  return false;
}

struct tr_search {
  struct tr_mapping mapping;
  __u64 address;
  long error;
};

static long try_mapping(__u32 i, struct tr_search* search) {
  (void)i;
  search->error = bpf_find_vma(bpf_get_current_task_btf(), search->address, read_mapping, &search->mapping, 0);
  long is_over = search->error != -TR_EBUSY;
  /* The verifier wants to see a 0 or a 1. */
  asm volatile("" : "+r"(is_over));
  return is_over & 1;
}

/* Makes the mapping around `address` the thread's range. Returns enum tr_lookup. */
TR_CHECKED_ONCE int look_up_range(struct tr_thread* t, __u64 address, __u32 layout) {
  if (!t) return TR_LOOKUP_NO_CODE;
  struct tr_search search = {.address = address};
  __u64 stamp = libraries_stamp(t->space);
  bpf_loop(t->is_last_try ? TR_LOOKUP_LAST_TRIES : TR_LOOKUP_TRIES, try_mapping, &search, 0);
  t->range.end = 0;
  t->range.stamp = stamp;
  if (search.error == -TR_EBUSY) {
    /* What holds for an older layout only is not kept for the next address. */
    t->range_layout = ~layout;
    return recall_range(t, address, stamp) ? TR_LOOKUP_DONE : TR_LOOKUP_BUSY;
  }
  t->range_layout = layout;
  if (search.error || !search.mapping.executable) return TR_LOOKUP_NO_CODE;
  t->range.module = module_of(&search.mapping, t->space);
  t->range.serial = t->serial;
  t->range.start = search.mapping.start;
  t->range.bias = search.mapping.start - search.mapping.file_offset;
  t->range.end = search.mapping.end;
  keep_range(&t->range);
  return TR_LOOKUP_DONE;
}

/* Two threads may write one entry at the same time: `check` holds only for the words of one of them. */
TR_INLINE __u64 check_of(__u64 key, const struct tr_pc* pc) {
  return key ^ (pc->valid * 0x9e3779b97f4a7c15ULL) ^ (pc->frame * 0xc2b2ae3d27d4eb4fULL) ^
         (pc->rule * 0xd6e8feb86659fd93ULL);
}

TR_INLINE __u64 pc_key(__u64 address, bool exact, __u32 serial) {
  return address ^ serial * 0xc2b2ae3d27d4eb4fULL ^ (__u64)exact << 63;
}

TR_INLINE struct tr_pc* pc_slot(__u64 key) {
  __u32 index = (__u32)((key * 0x9e3779b97f4a7c15ULL) >> (64 - TR_PC_BITS));
  return bpf_map_lookup_elem(&pcs, &index);
}

TR_INLINE __u32 fold(__u64 stamp) { return (__u32)(stamp >> 32) * 0x9e3779b1U ^ (__u32)stamp; }

/* What is known of an address that is no code, in the place of a frame. */
#define TR_NO_CODE (~0ULL)
/* Where code can be: not in the first page, and below the kernel's half (without five-level page tables, which a
 * program has to ask for). */
#define TR_USER_START 4096ULL
#define TR_USER_END (1ULL << 47)

/* Only of such an address does pc_key() say which one it is: the bits above tell others apart. */
TR_INLINE bool can_be_code(__u64 address) { return address - TR_USER_START < TR_USER_END - TR_USER_START; }

TR_INLINE int place_result(const struct tr_pc* pc, struct tr_place* place) {
  place->frame = pc->frame;
  place->rule = pc->rule;
  return pc->frame == TR_NO_CODE ? TR_LOOKUP_NO_CODE : TR_LOOKUP_DONE;
}

/* Finds the place of an address in the thread's range. */
TR_INLINE int place_in_range(struct tr_thread* t, __u64 address, __u64 looked_up, struct tr_place* place) {
  __u32 module = t->range.module;
  bool is_numbered = module != TR_MODULE_NONE && module != TR_MODULE_UNNUMBERED;
  place->rule = 0;
  place->frame = TR_FRAME(module, is_numbered ? address - t->range.bias : address);
  if (!is_numbered || !config.use_tables) return TR_LOOKUP_DONE;
  return find_rule(module, looked_up - t->range.bias, t->space, &place->rule) ? TR_LOOKUP_DONE : TR_LOOKUP_NO_TABLE;
}

/*
 * The place of an address; `exact` unless it is a return address, which belongs to the call before it. Returns enum
 * tr_lookup.
 */
TR_INLINE int locate(struct tr_thread* t, __u64 address, bool exact, __u32 layout, struct tr_place* place) {
  __u64 looked_up = exact ? address : address - 1;
  if (!can_be_code(looked_up)) return TR_LOOKUP_NO_CODE;
  __u64 key = pc_key(address, exact, t->serial);
  struct tr_pc* slot = pc_slot(key);
  if (!slot) return TR_LOOKUP_NO_CODE;
  struct tr_pc known = *slot;
  bool is_known = known.check == check_of(key, &known);
  if (is_known && known.valid >> 32 == layout) return place_result(&known, place);

  int result = TR_LOOKUP_DONE;
  if (t->range_layout != layout || looked_up < t->range.start || looked_up >= t->range.end) {
    result = look_up_range(t, looked_up, layout);
    if (result == TR_LOOKUP_BUSY)
      return is_known && (__u32)known.valid == fold(t->range.stamp) ? place_result(&known, place) : TR_LOOKUP_BUSY;
  }
  place->frame = TR_NO_CODE;
  place->rule = 0;
  if (result == TR_LOOKUP_DONE) result = place_in_range(t, address, looked_up, place);
  /* What was recalled is believed once: the next look-up may succeed. A table that is not there yet may come. */
  if (t->range_layout == ~layout || result == TR_LOOKUP_NO_TABLE) return result;
  known.valid = (__u64)layout << 32 | fold(t->range.stamp);
  known.frame = place->frame;
  known.rule = place->rule;
  known.check = check_of(key, &known);
  *slot = known;
  return result;
}

/* Our own process maps a file a few times, to identify and to read it; behind so many mappings there are others'. */
#define TR_SHARING_NODES 16

struct tr_sharing {
  struct rb_node* nodes[TR_SHARING_NODES]; /* of the tree of the file's mappings, to be looked at */
  __u32 count;
  __u32 is_shared;
};

TR_INLINE void add_node(struct tr_sharing* sharing, struct rb_node* node) {
  if (!node) return;
  __u32 at = sharing->count;
  if (at >= TR_SHARING_NODES) {
    sharing->is_shared = 1;
    return;
  }
  sharing->nodes[at & (TR_SHARING_NODES - 1)] = node;
  sharing->count = at + 1;
}

/* Looks for a mapping of the file in another address space. Read without a lock: whoever asks had better ask twice. */
static long read_sharing(struct task_struct* task, struct vm_area_struct* vma, struct tr_sharing* sharing) {
  struct file* file = vma->vm_file;
  if (!file) return 0;
  add_node(sharing, file->f_mapping->i_mmap.rb_root.rb_node);
  for (__u32 i = 0; i < TR_SHARING_NODES; i++) {
    if (i >= sharing->count || sharing->is_shared) break;
    struct rb_node* node = sharing->nodes[i];
    struct vm_area_struct* other = (void*)node - bpf_core_field_offset(struct vm_area_struct, shared.rb);
    if (BPF_CORE_READ(other, vm_mm) != task->mm) sharing->is_shared = 1;
    add_node(sharing, BPF_CORE_READ(node, rb_left));
    add_node(sharing, BPF_CORE_READ(node, rb_right));
  }
  return 0;
}

/* Whether the file that the running process has mapped at `address` is mapped by others; negative: an errno. */
TR_INLINE int has_other_mappings(__u64 address) {
  struct tr_sharing sharing = {};
  long error = bpf_find_vma(bpf_get_current_task_btf(), address, read_sharing, &sharing, 0);
  return error ? (int)error : (int)sharing.is_shared;
}

/* The number of the file that the running process has mapped at `address`, 0 for none; negative: an errno. */
TR_INLINE int module_at(__u64 address) {
  struct tr_mapping mapping = {};
  long error = bpf_find_vma(bpf_get_current_task_btf(), address, read_mapping, &mapping, 0);
  if (error) return (int)error;
  return (int)module_of(&mapping, 0);
}

#endif
