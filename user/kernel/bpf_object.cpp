// SPDX-License-Identifier: Apache-2.0
#include "kernel/bpf_object.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "kernel/bpf_attr.h"
#include "kernel/bpf_link.h"
#include "kernel/map_view.h"
#include "tracer.skel.h"

namespace tracer::kernel {
namespace {

// What one entry costs: hash element with key and value, its share of the buckets.
constexpr std::uint64_t kBytesPerBlock = 104;
constexpr std::uint64_t kBytesPerStack = sizeof(tr_stack) + sizeof(tr_young) + sizeof(tr_unverified) +
                                         sizeof(std::uint64_t) + 2 * 104 + 2 * sizeof(tr_stack_chunk) + 16;
constexpr std::uint32_t kChunksPerStack = 2;

std::string g_last_libbpf_warning;

int print_libbpf(libbpf_print_level level, const char* format, va_list arguments) noexcept {
  // What the verifier says is many kilobytes long.
  va_list again;
  va_copy(again, arguments);
  std::string text(static_cast<std::size_t>(std::max(0, std::vsnprintf(nullptr, 0, format, again))), '\0');
  va_end(again);
  std::vsnprintf(text.data(), text.size() + 1, format, arguments);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (level == LIBBPF_WARN && g_last_libbpf_warning.empty()) g_last_libbpf_warning = text;
  if (level != LIBBPF_DEBUG) log::debug("{}", text);
  return 0;
}

constexpr int kMostIdentifyTries = 100'000;
// Bytes; programs that start and end by the thousand have three events each.
constexpr std::uint32_t kEventsOfMachine = 2U << 20;
// Where sampling begins when it was not asked for.
constexpr std::uint64_t kDefaultSampleBytes = 512ULL << 10;

struct SkeletonDeleter {
  void operator()(tracer_bpf* skeleton) const noexcept { tracer_bpf__destroy(skeleton); }
};
struct RingDeleter {
  void operator()(ring_buffer* ring) const noexcept { ring_buffer__free(ring); }
};

}  // namespace

Capacity Capacity::of_budget(std::uint64_t max_memory_bytes, bool use_tables, bool all) {
  constexpr std::uint64_t kMost = 1U << 28;
  constexpr std::uint64_t kMostForTables = 64U << 20;
  Capacity capacity;
  const std::uint64_t for_tables = use_tables ? std::min(max_memory_bytes / 4, kMostForTables) : 0;
  // An array of the kernel has one element at least.
  capacity.unwind_words = static_cast<std::uint32_t>(std::max(for_tables, sizeof(tr_words)) / sizeof(std::uint32_t));
  max_memory_bytes -= for_tables;
  const std::uint64_t for_stacks = all ? max_memory_bytes / 2 : max_memory_bytes / 4;
  const std::uint64_t for_blocks = max_memory_bytes - for_stacks;
  capacity.blocks = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(for_blocks / kBytesPerBlock, 1024, kMost));
  capacity.stacks = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(for_stacks / kBytesPerStack, 1024, kMost));
  capacity.chunks = capacity.stacks * kChunksPerStack;
  return capacity;
}

bool sample_distance_fits(std::uint64_t bytes) {
  return bytes >= TR_LEAST_SAMPLE_BYTES && bytes <= TR_MOST_SAMPLE_BYTES;
}

class BpfObject::Impl {
 public:
  std::unique_ptr<tracer_bpf, SkeletonDeleter> skeleton;
  ObjectConfig config;
  MapMemory spaces;
  MapMemory stacks;
  MapMemory chunks;
  MapMemory young;
  MapMemory unverified;
  MapMemory variances;
  MapMemory origins;
  MapMemory stack_links;
  MapMemory modules;
  MapMemory tables;
  MapMemory unwind_words;
  MapMemory rules;
  std::function<void(const tr_event&)> handle;
  std::unique_ptr<ring_buffer, RingDeleter> ring;
  std::vector<RawStack> raw_stacks;
  std::vector<BpfLink> process_links;

  bpf_program* program_of(Program program) const;
  Result<void> open();
  Result<void> load();
  Result<void> map_memory();
  Result<void> open_ring();
  Result<void> attach_layout_events();
  int run(bpf_program* program, std::uint64_t argument);
  Result<void> enter(pid_t pid, const tr_process& process);
  Result<int> ask_about(int fd, bpf_program* program);
  template <typename Visit>
  void for_each_block(Visit&& visit) const;

 private:
  static int on_event(void* self, void* data, std::size_t size) noexcept;
  static int on_raw_stack(void* self, void* data, std::size_t size) noexcept;
};

bpf_program* BpfObject::Impl::program_of(Program program) const {
  switch (program) {
    case Program::kHeapEntry:
      return skeleton->progs.heap_entry;
    case Program::kHeapReturn:
      return skeleton->progs.heap_return;
    case Program::kHeapExit:
      return skeleton->progs.heap_exit;
    case Program::kLibraryEntry:
      return skeleton->progs.library_entry;
  }
  return nullptr;
}

Result<void> BpfObject::Impl::open() {
  libbpf_set_print(print_libbpf);
  g_last_libbpf_warning.clear();
  skeleton.reset(tracer_bpf__open());
  if (!skeleton) return Error::from_errno(errno, "cannot open the BPF object");

  tr_config& settings = skeleton->rodata->config;
  settings.follow = config.follow ? 1 : 0;
  settings.max_frames = std::clamp<unsigned>(config.max_frames, 2, TR_MAX_FRAMES);
  settings.count_layout = counts_layout() ? 0 : 1;
  settings.max_stacks = config.capacity.stacks;
  settings.max_chunks = config.capacity.chunks;
  settings.use_tables = config.use_tables ? 1 : 0;
  settings.all = config.all ? 1 : 0;
  skeleton->rodata->filter = config.filter;
  settings.min_size = config.min_size_bytes;
  settings.max_size = config.max_size_bytes;
  settings.sample_bytes = config.sample_bytes == 0 ? kDefaultSampleBytes : config.sample_bytes;
  settings.sample_level = config.sample_bytes == 0 ? 0 : 1;
  skeleton->bss->globals.next_space = 1;
  skeleton->bss->globals.next_serial = 1;
  skeleton->bss->globals.next_stack = 1;
  skeleton->bss->globals.next_module = 1;

  auto& maps = skeleton->maps;
  bpf_map__set_max_entries(maps.blocks, config.capacity.blocks);
  // Behind the stacks one for each address space; see no_stack_of().
  for (bpf_map* by_stack : {maps.stacks, maps.young, maps.unverified, maps.variances})
    bpf_map__set_max_entries(by_stack, config.capacity.stacks + TR_MAX_SPACES);
  bpf_map__set_max_entries(maps.stack_links, config.capacity.stacks);
  bpf_map__set_max_entries(maps.free_stacks, config.capacity.stacks);
  for (bpf_map* by_chunk : {maps.stack_chunks, maps.free_chunks})
    bpf_map__set_max_entries(by_chunk, config.capacity.chunks);
  bpf_map__set_max_entries(maps.unwind_words, std::max(config.capacity.unwind_words / 2, 1U));
  // Twice the stacks: a key is written for each, and nothing else ever is.
  bpf_map__set_max_entries(maps.stack_ids, 2 * config.capacity.stacks);

  if (config.all) bpf_map__set_max_entries(maps.events, kEventsOfMachine);
  if (config.backend == Backend::kMulti) {
    for (Program program : {Program::kHeapEntry, Program::kHeapReturn, Program::kHeapExit, Program::kLibraryEntry}) {
      bpf_program__set_expected_attach_type(program_of(program), static_cast<bpf_attach_type>(kAttachTypeUprobeMulti));
    }
  }
  return {};
}

Result<void> BpfObject::Impl::load() {
  const int error = tracer_bpf__load(skeleton.get());
  if (error == 0) return {};
  std::string hint = error == -EPERM || error == -EACCES
                         ? "run as root, or with the capabilities CAP_BPF and CAP_PERFMON"
                     : error == -ENOMEM ? "lower --max-memory"
                                        : "run 'tracer --check'; '-vv' shows what libbpf says";
  if (!g_last_libbpf_warning.empty()) log::verbose("{}", g_last_libbpf_warning);
  return Error::from_errno(-error, "cannot load the BPF programs", std::move(hint));
}

Result<void> BpfObject::Impl::map_memory() {
  struct View {
    MapMemory* memory;
    bpf_map* map;
  };
  const auto& maps = skeleton->maps;
  for (const View& view :
       {View{&spaces, maps.spaces}, View{&stacks, maps.stacks}, View{&chunks, maps.stack_chunks},
        View{&young, maps.young}, View{&unverified, maps.unverified}, View{&variances, maps.variances},
        View{&modules, maps.module_info}, View{&origins, maps.origins}, View{&stack_links, maps.stack_links},
        View{&tables, maps.tables}, View{&unwind_words, maps.unwind_words}, View{&rules, maps.rules}}) {
    const std::size_t size = std::size_t{bpf_map__max_entries(view.map)} * bpf_map__value_size(view.map);
    Result<MapMemory> memory = MapMemory::map(bpf_map__fd(view.map), size, bpf_map__name(view.map));
    if (!memory) return std::move(memory).error();
    *view.memory = std::move(*memory);
  }
  return {};
}

int BpfObject::Impl::on_event(void* self, void* data, std::size_t size) noexcept {
  Impl* impl = static_cast<Impl*>(self);
  if (size < sizeof(tr_event) || !impl->handle) return 0;
  tr_event event;
  std::memcpy(&event, data, sizeof(event));
  impl->handle(event);
  return 0;
}

int BpfObject::Impl::on_raw_stack(void* self, void* data, std::size_t size) noexcept {
  if (size < sizeof(tr_raw_stack)) return 0;
  RawStack raw;
  std::memcpy(&raw.head, data, sizeof(raw.head));
  const auto* bytes = static_cast<const std::byte*>(data) + sizeof(raw.head);
  raw.bytes.assign(bytes, bytes + std::min<std::size_t>(raw.head.size, size - sizeof(raw.head)));
  static_cast<Impl*>(self)->raw_stacks.push_back(std::move(raw));
  return 0;
}

Result<void> BpfObject::Impl::open_ring() {
  ring.reset(ring_buffer__new(bpf_map__fd(skeleton->maps.events), on_event, this, nullptr));
  if (!ring || ring_buffer__add(ring.get(), bpf_map__fd(skeleton->maps.raw_stacks), on_raw_stack, this) != 0)
    return Error::from_errno(errno, "cannot open the ring buffer of events");
  return {};
}

BpfObject::BpfObject(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
BpfObject::~BpfObject() = default;

Result<std::unique_ptr<BpfObject>> BpfObject::load(const ObjectConfig& config) {
  auto impl = std::make_unique<Impl>();
  impl->config = config;
  for (auto step : {&Impl::open, &Impl::load, &Impl::map_memory, &Impl::open_ring}) {
    if (Result<void> done = (impl.get()->*step)(); !done) return std::move(done).error();
  }
  return std::unique_ptr<BpfObject>(new BpfObject(std::move(impl)));
}

Result<void> BpfObject::attach_process_events() {
  for (bpf_program* program : {impl_->skeleton->progs.process_fork, impl_->skeleton->progs.process_exec,
                               impl_->skeleton->progs.process_exit}) {
    bpf_link* link = bpf_program__attach(program);
    if (link == nullptr)
      return Error::from_errno(errno, std::string("cannot attach to the tracepoint of ") + bpf_program__name(program));
    impl_->process_links.emplace_back(link);
  }
  return impl_->skeleton->rodata->config.count_layout == 0 ? Result<void>() : impl_->attach_layout_events();
}

/// The end of every system call that changes what is mapped: nothing can run in a new mapping before that.
Result<void> BpfObject::Impl::attach_layout_events() {
  for (const char* call : {"sys_exit_mmap", "sys_exit_munmap", "sys_exit_mremap", "sys_exit_mprotect"}) {
    bpf_link* link = bpf_program__attach_tracepoint(skeleton->progs.mapping_change, "syscalls", call);
    if (link == nullptr)
      return Error::from_errno(errno, std::string("cannot attach to the tracepoint ") + call,
                               "kernels before 6.4 need tracepoints of system calls (CONFIG_FTRACE_SYSCALLS)");
    process_links.emplace_back(link);
  }
  return {};
}

tr_globals& BpfObject::globals() { return impl_->skeleton->bss->globals; }

std::span<const tr_space> BpfObject::spaces() const { return impl_->spaces.elements<const tr_space>(); }
std::span<const tr_stack> BpfObject::stacks() const { return impl_->stacks.elements<const tr_stack>(); }
std::span<const tr_stack_chunk> BpfObject::chunks() const { return impl_->chunks.elements<const tr_stack_chunk>(); }
std::span<tr_young> BpfObject::young() { return impl_->young.elements<tr_young>(); }
std::span<tr_unverified> BpfObject::unverified() { return impl_->unverified.elements<tr_unverified>(); }
std::span<const tr_origin> BpfObject::origins() const { return impl_->origins.elements<const tr_origin>(); }
std::span<const tr_stack_link> BpfObject::stack_links() const {
  return impl_->stack_links.elements<const tr_stack_link>();
}
std::span<const std::uint64_t> BpfObject::variances() const { return impl_->variances.elements<const std::uint64_t>(); }
std::span<const tr_module> BpfObject::modules() const { return impl_->modules.elements<const tr_module>(); }

std::span<tr_table> BpfObject::tables() { return impl_->tables.elements<tr_table>(); }
std::span<std::uint32_t> BpfObject::unwind_words() { return impl_->unwind_words.elements<std::uint32_t>(); }
std::span<tr_rule> BpfObject::rules() { return impl_->rules.elements<tr_rule>(); }

std::uint32_t BpfObject::stack_count() const {
  const std::uint32_t next = __atomic_load_n(&impl_->skeleton->bss->globals.next_stack, __ATOMIC_ACQUIRE);
  return std::min(next, impl_->config.capacity.stacks);
}

std::uint32_t BpfObject::space_count() const {
  const std::uint32_t next = __atomic_load_n(&impl_->skeleton->bss->globals.next_space, __ATOMIC_ACQUIRE);
  return std::min<std::uint32_t>(next, TR_MAX_SPACES);
}

std::uint32_t BpfObject::module_count() const {
  const std::uint32_t next = __atomic_load_n(&impl_->skeleton->bss->globals.next_module, __ATOMIC_ACQUIRE);
  return std::min<std::uint32_t>(next, TR_MAX_MODULES);
}

heap::StackId BpfObject::no_stack_of(std::uint32_t space) const { return impl_->config.capacity.stacks + space; }

/// Runs a program of the kernel half in this thread; what it returns, or a negative errno.
int BpfObject::Impl::run(bpf_program* program, std::uint64_t argument) {
  LIBBPF_OPTS(bpf_test_run_opts, options);
  options.ctx_in = &argument;
  options.ctx_size_in = sizeof(argument);
  if (bpf_prog_test_run_opts(bpf_program__fd(program), &options) != 0) return -errno;
  return static_cast<int>(options.retval);
}

/// Runs a program on the file, which is mapped for a moment.
Result<int> BpfObject::Impl::ask_about(int fd, bpf_program* program) {
  void* mapped = ::mmap(nullptr, 1, PROT_READ, MAP_PRIVATE, fd, 0);
  if (mapped == MAP_FAILED) return Error::from_errno(errno, "cannot map a file to identify it");
  int answer = -EBUSY;
  // Busy: another thread of ours changes our own mappings.
  for (int i = 0; i < kMostIdentifyTries && answer == -EBUSY; ++i)
    answer = run(program, reinterpret_cast<std::uint64_t>(mapped));
  ::munmap(mapped, 1);
  return answer;
}

Result<bool> BpfObject::is_mapped(int fd) {
  const Result<int> asked = impl_->ask_about(fd, impl_->skeleton->progs.is_mapped);
  if (!asked) return asked.error();
  if (*asked < 0) return Error::from_errno(-*asked, "the kernel cannot tell whether a file is mapped");
  return *asked != 0;
}

void BpfObject::mute(std::uint32_t space) {
  __atomic_store_n(&impl_->spaces.elements<tr_space>()[space].sample_level, TR_LEVEL_MUTED, __ATOMIC_RELAXED);
}

void BpfObject::end_space(std::uint32_t space) {
  __atomic_fetch_sub(&impl_->spaces.elements<tr_space>()[space].users, 1, __ATOMIC_ACQ_REL);
}

Result<void> BpfObject::release_space(std::uint32_t space) {
  if (impl_->run(impl_->skeleton->progs.space_release, space) >= 0) return {};
  return Error(ErrorKind::kUnsupported, "an address space in use cannot be released");
}

bool BpfObject::knows_process(pid_t pid) const {
  const std::uint32_t key = static_cast<std::uint32_t>(pid);
  tr_process process{};
  return bpf_map_lookup_elem(bpf_map__fd(impl_->skeleton->maps.processes), &key, &process) == 0;
}

Result<void> BpfObject::Impl::enter(pid_t pid, const tr_process& process) {
  const std::uint32_t key = static_cast<std::uint32_t>(pid);
  if (bpf_map_update_elem(bpf_map__fd(skeleton->maps.processes), &key, &process, BPF_ANY) != 0)
    return Error::from_errno(errno, "cannot enter the process into the table of processes");
  return {};
}

Result<void> BpfObject::exclude_process(pid_t pid) { return impl_->enter(pid, {0, TR_NEVER_TRACED}); }

Result<std::uint32_t> BpfObject::identify(int fd) {
  const Result<int> asked = impl_->ask_about(fd, impl_->skeleton->progs.identify_mapping);
  if (!asked) return asked.error();
  const int answer = *asked;
  if (answer > 0 && answer < TR_MAX_MODULES) return static_cast<std::uint32_t>(answer);
  if (answer >= 0) return Error(ErrorKind::kUnsupported, "more files than the table of files holds");
  return Error::from_errno(-answer, "the kernel cannot identify a file");
}

void BpfObject::forget_module(std::uint32_t number) {
  const tr_file_key key = modules()[number].key;
  bpf_map_delete_elem(bpf_map__fd(impl_->skeleton->maps.modules), &key);
}

Result<std::uint32_t> BpfObject::add_process(pid_t pid, std::uint32_t hold) {
  tr_globals& shared = globals();
  std::uint32_t id = 0;
  if (bpf_map_lookup_and_delete_elem(bpf_map__fd(impl_->skeleton->maps.free_spaces), nullptr, &id) != 0)
    id = __atomic_fetch_add(&shared.next_space, 1, __ATOMIC_ACQ_REL);
  if (id >= TR_MAX_SPACES) return Error(ErrorKind::kUnsupported, "more processes than the table of processes holds");
  tr_space& space = impl_->spaces.elements<tr_space>()[id];
  space.serial = __atomic_fetch_add(&shared.next_serial, 1, __ATOMIC_ACQ_REL);
  space.tgid = static_cast<std::uint32_t>(pid);
  space.users = 1;
  set_sample_level(id, impl_->skeleton->rodata->config.sample_level);
  if (Result<void> entered = impl_->enter(pid, {id, hold}); !entered) return std::move(entered).error();
  return id;
}

Result<void> BpfObject::set_hold(pid_t pid, std::uint32_t hold) {
  const int fd = bpf_map__fd(impl_->skeleton->maps.processes);
  const std::uint32_t key = static_cast<std::uint32_t>(pid);
  tr_process process{};
  if (bpf_map_lookup_elem(fd, &key, &process) != 0) return Error(ErrorKind::kGone, "the process has exited");
  process.hold = hold;
  if (bpf_map_update_elem(fd, &key, &process, BPF_EXIST) != 0)
    return Error::from_errno(errno, "cannot change the hold of a process");
  return {};
}

std::uint64_t BpfObject::sample_distance(std::uint32_t level) const {
  return level == 0
             ? 0
             : impl_->skeleton->rodata->config.sample_bytes << std::min<std::uint32_t>(level - 1, TR_SAMPLE_LEVELS - 1);
}

bool BpfObject::set_sample_level(std::uint32_t space, std::uint32_t level) {
  if (level > TR_SAMPLE_LEVELS || (level != 0 && !sample_distance_fits(sample_distance(level)))) return false;
  tr_space& of = impl_->spaces.elements<tr_space>()[space];
  // First: from the first allocation on that is left out, frees of unknown blocks say nothing.
  if (level != 0) __atomic_store_n(&of.sampled, 1, __ATOMIC_RELEASE);
  __atomic_store_n(&of.sample_level, static_cast<std::uint16_t>(level), __ATOMIC_RELEASE);
  return true;
}

/// Calls visit(key) for every live block.
template <typename Visit>
void BpfObject::Impl::for_each_block(Visit&& visit) const {
  constexpr std::uint32_t kBatch = 16384;
  const int fd = bpf_map__fd(skeleton->maps.blocks);
  std::vector<tr_block_key> keys(kBatch);
  std::vector<tr_block> values(kBatch);
  std::uint32_t position = 0;
  bool first = true;
  for (int error = 0; error == 0;) {
    std::uint32_t count = kBatch;
    error =
        bpf_map_lookup_batch(fd, first ? nullptr : &position, &position, keys.data(), values.data(), &count, nullptr);
    if (error != 0 && errno != ENOENT) break;
    first = false;
    for (std::uint32_t i = 0; i < count; ++i) visit(keys[i]);
  }
}

std::uint64_t BpfObject::block_count() const {
  std::uint64_t count = 0;
  impl_->for_each_block([&](const tr_block_key&) { ++count; });
  return count;
}

std::uint64_t BpfObject::remove_blocks_of_ended_spaces() {
  std::vector<tr_block_key> doomed;
  impl_->for_each_block([&](const tr_block_key& key) {
    if (key.space >= TR_MAX_SPACES) return;
    const tr_space& space = spaces()[key.space];
    if (space.serial != key.serial || space.users == 0) doomed.push_back(key);
  });
  const int fd = bpf_map__fd(impl_->skeleton->maps.blocks);
  for (const tr_block_key& key : doomed) bpf_map_delete_elem(fd, &key);
  return doomed.size();
}

int BpfObject::event_fd() const { return ring_buffer__epoll_fd(impl_->ring.get()); }

void BpfObject::drain_events(const std::function<void(const tr_event&)>& handle) {
  impl_->handle = handle;
  ring_buffer__consume(impl_->ring.get());
  impl_->handle = nullptr;
}

std::vector<RawStack> BpfObject::take_raw_stacks() { return std::exchange(impl_->raw_stacks, {}); }

unsigned BpfObject::max_frames() const { return impl_->skeleton->rodata->config.max_frames; }

bpf_program* BpfObject::program(Program program) const { return impl_->program_of(program); }

int BpfObject::program_fd(Program which) const { return bpf_program__fd(program(which)); }

}  // namespace tracer::kernel
