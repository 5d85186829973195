// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tests/bpf_host/host.h"

namespace tracer::bpf_host {

/// A map with the kernel's rules for full, existing and missing elements.
///
/// Elements of a hash live and die on the heap of their own, so that a sanitizer sees one that is used after its
/// removal.
class FakeMap {
 public:
  FakeMap() = default;
  FakeMap(const host_map& definition, std::uint32_t capacity);

  void* find(const void* key);
  long update(const void* key, const void* value, std::uint64_t flags);
  long remove(const void* key);
  long push(const void* value);
  long pop(void* value);
  std::size_t size() const { return hash_.size() + stack_.size(); }
  std::uint32_t capacity() const { return capacity_; }

  /// Calls visit(key, value) for each element of a hash, in no order.
  void for_each(const std::function<void(const void*, const void*)>& visit) const;

 private:
  using Bytes = std::unique_ptr<std::byte[]>;

  std::string text(const void* key) const { return {static_cast<const char*>(key), definition_.key_size}; }
  bool is_hash() const;

  host_map definition_{};
  std::uint32_t capacity_ = 0;
  std::unordered_map<std::string, Bytes> hash_;
  std::vector<std::string> stack_;
  Bytes array_;
};

/// Memory of the targets: ranges that can be read; a read that touches anything else fails as a whole.
class TargetMemory {
 public:
  void map(std::uint64_t start, std::size_t size) { ranges_[start].assign(size, std::byte{0}); }
  void unmap(std::uint64_t start) { ranges_.erase(start); }
  void clear() { ranges_.clear(); }
  bool read(std::uint64_t address, void* out, std::size_t size) const;
  /// The range must be mapped.
  void write(std::uint64_t address, std::uint64_t word);

 private:
  std::map<std::uint64_t, std::vector<std::byte>> ranges_;
};

/// The part of the kernel that the programs talk to: maps, thread storage, ring buffer, target memory, clock, signals.
///
/// One for the process, since helpers have no other place to find it; reset() before each test. One thread.
class FakeKernel {
 public:
  static FakeKernel& instance();

  void reset();
  /// Empties the map. Before programs run, like the loader.
  void set_capacity(std::string_view name, std::uint32_t capacity);
  FakeMap& map(std::string_view name);

  template <typename Value, typename Key>
  Value* find(std::string_view name, const Key& key) {
    return static_cast<Value*>(map(name).find(&key));
  }
  template <typename Value>
  Value& at(std::string_view name, std::uint32_t index) {
    return *find<Value>(name, index);
  }

  /// Runs `action` once, before the next update or removal in that map: another thread comes between two steps of a
  /// program.
  enum class Step { kUpdate, kRemove };
  void interrupt_before(Step step, std::string_view map, std::function<void()> action) {
    interruption_ = {step, std::string(map), std::move(action)};
  }

  /// The kernel frees a thread's storage with the thread.
  void forget_thread(std::uint32_t pid) { storage_.erase(pid); }
  std::vector<tr_event> drain_events();
  std::vector<tr_memory_event> drain_memory_events();
  std::vector<std::vector<std::byte>> drain_raw_stacks();
  std::size_t open_reservations() const { return reserved_.size(); }

  TargetMemory memory;
  /// Mappings by process, the youngest last. A process without any has executable memory of no file everywhere.
  std::map<std::uint32_t, std::vector<host_mapping>> mappings;
  int busy_lookups = 0;  ///< so many look-ups of mappings still fail
  std::uint64_t time_ns = 0;
  std::mt19937 random;                 ///< what the kernel's random numbers are
  std::vector<std::uint32_t> signals;  ///< those sent, in order
  bool has_thread_memory = true;       ///< false: no new storage for threads

  /// The helpers of shim.h.
  int find_mapping(std::uint32_t tgid, std::uint64_t address, host_mapping* out);
  std::uint64_t lookups = 0;
  FakeMap& map_at(void* map) { return *by_address_.at(map).map; }
  long update(void* map, const void* key, const void* value, std::uint64_t flags);
  long remove(void* map, const void* key);
  void* reserve(void* map, std::size_t size) { return reserve(by_address_.at(map).name, size); }
  void* reserve(std::string_view ring, std::size_t size);
  void finish_record(void* data, bool is_kept);
  void* task_storage(std::uint32_t pid, std::size_t size, bool create);

 private:
  struct Entry {
    std::string_view name;
    std::unique_ptr<FakeMap> map;
  };
  struct Interruption {
    Step step = Step::kUpdate;
    std::string map;
    std::function<void()> action;
  };
  using Bytes = std::unique_ptr<std::byte[]>;

  template <typename Record>
  std::vector<Record> drain(std::string_view ring);
  void run_interruption(Step step, std::string_view map);

  FakeKernel() { reset(); }

  std::unordered_map<void*, Entry> by_address_;
  std::map<std::string_view, void*> by_name_;
  Interruption interruption_;
  std::unordered_map<std::uint32_t, Bytes> storage_;
  struct Ring {
    std::uint32_t size = 0;
    std::size_t used = 0;
    std::vector<std::vector<std::byte>> records;
  };
  std::map<std::string_view, Ring> rings_;
  struct Reserved {
    Ring* ring;
    std::size_t size;
    Bytes record;
  };
  std::vector<Reserved> reserved_;
};

}  // namespace tracer::bpf_host
