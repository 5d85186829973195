// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

#include "tests/bpf_host/fake_kernel.h"

namespace tracer::bpf_host {
namespace {

// The kernel's numbers (enum bpf_map_type, update flags); vmlinux.h has them for C only.
constexpr std::uint32_t kHash = 1;
constexpr std::uint32_t kLruHash = 9;
constexpr std::uint32_t kStack = 23;
constexpr std::uint32_t kRingBuffer = 27;
constexpr std::uint64_t kNoExist = 1;
constexpr std::uint64_t kExist = 2;
// What a record of the ring buffer takes beside its data (BPF_RINGBUF_HDR_SZ).
constexpr std::size_t kRecordHeader = 8;
// Fresh memory that the kernel does not clear looks like this.
constexpr int kGarbage = 0xa5;

std::unique_ptr<std::byte[]> zeroed(std::size_t size) { return std::make_unique<std::byte[]>(size); }

std::uint32_t index_of(const void* key) {
  std::uint32_t index = 0;
  std::memcpy(&index, key, sizeof(index));
  return index;
}

}  // namespace

FakeMap::FakeMap(const host_map& definition, std::uint32_t capacity) : definition_(definition), capacity_(capacity) {
  if (!is_hash() && definition.type != kStack) array_ = zeroed(std::size_t{capacity} * definition.value_size);
}

bool FakeMap::is_hash() const { return definition_.type == kHash || definition_.type == kLruHash; }

void* FakeMap::find(const void* key) {
  if (!is_hash()) {
    const std::uint32_t index = index_of(key);
    return index < capacity_ ? &array_[std::size_t{index} * definition_.value_size] : nullptr;
  }
  const auto found = hash_.find(text(key));
  return found == hash_.end() ? nullptr : found->second.get();
}

long FakeMap::update(const void* key, const void* value, std::uint64_t flags) {
  if (flags > kExist) return -EINVAL;
  void* element = find(key);
  if (element == nullptr && !is_hash()) return -E2BIG;
  if (element != nullptr && flags == kNoExist) return -EEXIST;
  if (element == nullptr && flags == kExist) return -ENOENT;
  if (element == nullptr) {
    if (hash_.size() >= capacity_) return -E2BIG;
    element = (hash_[text(key)] = zeroed(definition_.value_size)).get();
  }
  std::memcpy(element, value, definition_.value_size);
  return 0;
}

long FakeMap::remove(const void* key) {
  if (!is_hash()) return -EINVAL;
  return hash_.erase(text(key)) == 1 ? 0 : -ENOENT;
}

long FakeMap::push(const void* value) {
  if (stack_.size() >= capacity_) return -E2BIG;
  stack_.emplace_back(static_cast<const char*>(value), definition_.value_size);
  return 0;
}

long FakeMap::pop(void* value) {
  if (stack_.empty()) return -ENOENT;
  std::memcpy(value, stack_.back().data(), definition_.value_size);
  stack_.pop_back();
  return 0;
}

void FakeMap::for_each(const std::function<void(const void*, const void*)>& visit) const {
  for (const auto& [key, value] : hash_) visit(key.data(), value.get());
}

bool TargetMemory::read(std::uint64_t address, void* out, std::size_t size) const {
  const auto next = ranges_.upper_bound(address);
  if (next == ranges_.begin()) return false;
  const auto& [start, bytes] = *std::prev(next);
  const std::uint64_t offset = address - start;
  if (offset > bytes.size() || size > bytes.size() - offset) return false;
  std::memcpy(out, bytes.data() + offset, size);
  return true;
}

void TargetMemory::write(std::uint64_t address, std::uint64_t word) {
  auto& [start, bytes] = *std::prev(ranges_.upper_bound(address));
  std::memcpy(bytes.data() + bytes.size() - (start + bytes.size() - address), &word, sizeof(word));
}

FakeKernel& FakeKernel::instance() {
  static FakeKernel kernel;
  return kernel;
}

void FakeKernel::reset() {
  std::uint32_t count = 0;
  const host_map* maps = host_maps(&count);
  for (const host_map* map = maps; map != maps + count; ++map) {
    by_name_[map->name] = map->map;
    set_capacity(map->name, map->max_entries);
  }
  storage_.clear();
  reserved_.clear();
  drain_events();
  drain_raw_stacks();
  drain_memory_events();
  memory.clear();
  mappings.clear();
  busy_lookups = 0;
  lookups = 0;
  time_ns = 0;
  signals.clear();
  has_thread_memory = true;
  random.seed();
  interruption_ = {};
}

void FakeKernel::set_capacity(std::string_view name, std::uint32_t capacity) {
  std::uint32_t count = 0;
  const host_map* maps = host_maps(&count);
  const host_map* definition = std::find_if(maps, maps + count, [&](const host_map& map) { return map.name == name; });
  if (definition->type == kRingBuffer) rings_[definition->name].size = capacity;
  by_address_[definition->map] = {definition->name, std::make_unique<FakeMap>(*definition, capacity)};
}

int FakeKernel::find_mapping(std::uint32_t tgid, std::uint64_t address, host_mapping* out) {
  ++lookups;
  if (busy_lookups > 0) {
    --busy_lookups;
    return -EBUSY;
  }
  const auto of_process = mappings.find(tgid);
  if (of_process == mappings.end()) {
    *out = {.start = 0x1000,
            .end = 1ULL << 56,
            .file_offset = 0,
            .executable = 1,
            .has_file = 0,
            .key = {},
            .path = "",
            .own = 0,
            .others = 0};
    return 0;
  }
  const auto& list = of_process->second;
  const auto found = std::find_if(list.rbegin(), list.rend(), [&](const host_mapping& mapping) {
    return address >= mapping.start && address < mapping.end;
  });
  if (found == list.rend()) return -ENOENT;
  *out = *found;
  return 0;
}

FakeMap& FakeKernel::map(std::string_view name) { return map_at(by_name_.at(name)); }

void FakeKernel::run_interruption(Step step, std::string_view map) {
  if (!interruption_.action || interruption_.step != step || interruption_.map != map) return;
  // Out of the way first: what it runs comes here again.
  std::exchange(interruption_, {}).action();
}

long FakeKernel::update(void* map, const void* key, const void* value, std::uint64_t flags) {
  Entry& entry = by_address_.at(map);
  run_interruption(Step::kUpdate, entry.name);
  return entry.map->update(key, value, flags);
}

long FakeKernel::remove(void* map, const void* key) {
  Entry& entry = by_address_.at(map);
  run_interruption(Step::kRemove, entry.name);
  return entry.map->remove(key);
}

void* FakeKernel::reserve(std::string_view name, std::size_t size) {
  Ring& ring = rings_.at(name);
  const std::size_t needed = (size + 7) / 8 * 8 + kRecordHeader;
  if (ring.used + needed > ring.size) return nullptr;
  ring.used += needed;
  Bytes record(new std::byte[size]);
  std::memset(record.get(), kGarbage, size);
  return reserved_.emplace_back(Reserved{&ring, size, std::move(record)}).record.get();
}

void FakeKernel::finish_record(void* data, bool is_kept) {
  const auto found = std::find_if(reserved_.begin(), reserved_.end(),
                                  [&](const Reserved& reserved) { return reserved.record.get() == data; });
  if (is_kept) found->ring->records.emplace_back(found->record.get(), found->record.get() + found->size);
  reserved_.erase(found);
}

template <typename Record>
std::vector<Record> FakeKernel::drain(std::string_view ring) {
  std::vector<Record> out;
  for (const std::vector<std::byte>& bytes : rings_[ring].records) {
    out.emplace_back();
    std::memcpy(&out.back(), bytes.data(), sizeof(Record));
  }
  rings_[ring].used = 0;
  rings_[ring].records.clear();
  return out;
}

std::vector<tr_event> FakeKernel::drain_events() { return drain<tr_event>("events"); }

std::vector<tr_memory_event> FakeKernel::drain_memory_events() { return drain<tr_memory_event>("memory_events"); }

std::vector<std::vector<std::byte>> FakeKernel::drain_raw_stacks() {
  Ring& ring = rings_["raw_stacks"];
  ring.used = 0;
  return std::exchange(ring.records, {});
}

void* FakeKernel::task_storage(std::uint32_t pid, std::size_t size, bool create) {
  const auto found = storage_.find(pid);
  if (found != storage_.end()) return found->second.get();
  if (!create || !has_thread_memory) return nullptr;
  return (storage_[pid] = zeroed(size)).get();
}

}  // namespace tracer::bpf_host

using tracer::bpf_host::FakeKernel;

/// As in vmlinux.h, which C++ cannot read: here the record and its size.
struct bpf_dynptr {
  unsigned long long opaque[2];
};

extern "C" {

void* bpf_map_lookup_elem(void* map, const void* key) { return FakeKernel::instance().map_at(map).find(key); }

long bpf_map_update_elem(void* map, const void* key, const void* value, __u64 flags) {
  return FakeKernel::instance().update(map, key, value, flags);
}

long bpf_map_delete_elem(void* map, const void* key) { return FakeKernel::instance().remove(map, key); }

long bpf_map_push_elem(void* map, const void* value, __u64) { return FakeKernel::instance().map_at(map).push(value); }

long bpf_map_pop_elem(void* map, void* value) { return FakeKernel::instance().map_at(map).pop(value); }

long bpf_probe_read_kernel(void* out, __u32 size, const void* from) {
  std::memcpy(out, from, size);
  return 0;
}

void* bpf_ringbuf_reserve(void* map, __u64 size, __u64) { return FakeKernel::instance().reserve(map, size); }

void bpf_ringbuf_submit(void* data, __u64) { FakeKernel::instance().finish_record(data, true); }

void bpf_ringbuf_discard(void* data, __u64) { FakeKernel::instance().finish_record(data, false); }

long bpf_ringbuf_output(void* map, void* data, __u64 size, __u64) {
  void* record = FakeKernel::instance().reserve(map, size);
  if (record == nullptr) return -EAGAIN;
  std::memcpy(record, data, size);
  FakeKernel::instance().finish_record(record, true);
  return 0;
}

long bpf_ringbuf_reserve_dynptr(void* map, __u32 size, __u64, bpf_dynptr* record) {
  void* data = FakeKernel::instance().reserve(map, size);
  record->opaque[0] = reinterpret_cast<std::uint64_t>(data);
  record->opaque[1] = data == nullptr ? 0 : size;
  return data == nullptr ? -EINVAL : 0;
}

void bpf_ringbuf_submit_dynptr(bpf_dynptr* record, __u64) {
  if (record->opaque[0] != 0) FakeKernel::instance().finish_record(reinterpret_cast<void*>(record->opaque[0]), true);
}

void bpf_ringbuf_discard_dynptr(bpf_dynptr* record, __u64) {
  if (record->opaque[0] != 0) FakeKernel::instance().finish_record(reinterpret_cast<void*>(record->opaque[0]), false);
}

void* bpf_dynptr_data(const bpf_dynptr* record, __u32 offset, __u32 size) {
  if (offset + size > record->opaque[1]) return nullptr;
  return reinterpret_cast<std::byte*>(record->opaque[0]) + offset;
}

long bpf_probe_read_user(void* out, __u32 size, const void* address) {
  const auto from = reinterpret_cast<std::uint64_t>(address);
  if (FakeKernel::instance().memory.read(from, out, size)) return 0;
  std::memset(out, 0, size);  // as the kernel does
  return -EFAULT;
}

__u64 bpf_ktime_get_ns(void) { return FakeKernel::instance().time_ns; }

__u32 bpf_get_prandom_u32(void) { return static_cast<__u32>(FakeKernel::instance().random()); }

long bpf_send_signal(__u32 signal) {
  FakeKernel::instance().signals.push_back(signal);
  return 0;
}

long bpf_probe_read_kernel_str(void* out, __u32 size, const void* text) {
  const std::string_view from(static_cast<const char*>(text));
  const std::size_t length = std::min<std::size_t>(from.size(), size - 1);
  std::memcpy(out, from.data(), length);
  static_cast<char*>(out)[length] = 0;
  return static_cast<long>(length + 1);
}

__s32 host_find_mapping(__u32 tgid, __u64 address, host_mapping* out) {
  return FakeKernel::instance().find_mapping(tgid, address, out);
}

void* host_task_storage(__u32 pid, __u32 size, int create) {
  return FakeKernel::instance().task_storage(pid, size, create != 0);
}
}
