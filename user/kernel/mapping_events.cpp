// SPDX-License-Identifier: Apache-2.0
#include "kernel/mapping_events.h"

#include <linux/perf_event.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

namespace tracer::kernel {
namespace {

constexpr std::size_t kPageSize = 4096;
// Some thousand mappings: those of hundreds of programs that start at once.
constexpr std::size_t kRingSize = 128 * kPageSize;

/// PERF_RECORD_MMAP2 up to the path, as perf_event_open(2) lays it out.
struct MmapRecord {
  perf_event_header header;
  std::uint32_t pid, tid;
  std::uint64_t address, length, page_offset;
  std::uint32_t major, minor;
  std::uint64_t inode, generation;
  std::uint32_t protection, flags;
};  // then the path, filled up to eight bytes, and the time
struct LostRecord {
  perf_event_header header;
  std::uint64_t id, lost;
};

UniqueFd open_event(int cpu) {
  perf_event_attr attributes{};
  attributes.size = sizeof(attributes);
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.config = PERF_COUNT_SW_DUMMY;
  attributes.mmap = 1;
  attributes.mmap2 = 1;
  attributes.sample_id_all = 1;
  attributes.sample_type = PERF_SAMPLE_TIME;
  attributes.use_clockid = 1;
  attributes.clockid = CLOCK_MONOTONIC;
  attributes.watermark = 1;
  attributes.wakeup_watermark = 1;
  return UniqueFd(static_cast<int>(::syscall(SYS_perf_event_open, &attributes, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC)));
}

}  // namespace

bool parse_mapping_event(std::span<const std::byte> record, MappingEvent* event) {
  MmapRecord fixed;
  if (record.size() < sizeof(fixed) + sizeof(event->time_ns)) return false;
  std::memcpy(&fixed, record.data(), sizeof(fixed));
  if (fixed.header.type != PERF_RECORD_MMAP2) return false;
  event->pid = static_cast<pid_t>(fixed.pid);
  event->start = fixed.address;
  event->end = fixed.address + fixed.length;
  event->file_offset = fixed.page_offset;
  event->device_major = fixed.major;
  event->device_minor = fixed.minor;
  event->inode = fixed.inode;
  event->generation = fixed.generation;
  const auto* path = reinterpret_cast<const char*>(record.data()) + sizeof(fixed);
  const std::size_t path_size = record.size() - sizeof(fixed) - sizeof(event->time_ns);
  event->path.assign(path, ::strnlen(path, path_size));
  std::memcpy(&event->time_ns, path + path_size, sizeof(event->time_ns));
  return true;
}

/// The memory that the kernel shares: a page of positions, and the records behind it.
class MappingEvents::Ring {
 public:
  Ring(UniqueFd event, void* memory) : fd_(std::move(event)), memory_(static_cast<std::byte*>(memory)) {}
  ~Ring() { ::munmap(memory_, kPageSize + kRingSize); }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  int fd() const { return fd_.get(); }
  std::uint64_t drain(const std::function<void(const MappingEvent&)>& handle);

 private:
  std::span<const std::byte> copy(std::uint64_t from, std::size_t size);

  UniqueFd fd_;
  std::byte* memory_;
  std::vector<std::byte> record_;
};

/// A record may go on at the beginning of the memory.
std::span<const std::byte> MappingEvents::Ring::copy(std::uint64_t from, std::size_t size) {
  record_.resize(size);
  const std::size_t at = from % kRingSize;
  const std::size_t first = std::min(size, kRingSize - at);
  std::memcpy(record_.data(), memory_ + kPageSize + at, first);
  std::memcpy(record_.data() + first, memory_ + kPageSize, size - first);
  return record_;
}

std::uint64_t MappingEvents::Ring::drain(const std::function<void(const MappingEvent&)>& handle) {
  auto* positions = reinterpret_cast<perf_event_mmap_page*>(memory_);
  const std::uint64_t head = __atomic_load_n(&positions->data_head, __ATOMIC_ACQUIRE);
  std::uint64_t tail = positions->data_tail;
  std::uint64_t lost = 0;
  while (tail < head) {
    perf_event_header header;
    std::memcpy(&header, copy(tail, sizeof(header)).data(), sizeof(header));
    if (header.size < sizeof(header)) break;
    const std::span<const std::byte> record = copy(tail, header.size);
    MappingEvent event;
    LostRecord losing;
    if (parse_mapping_event(record, &event)) {
      handle(event);
    } else if (header.type == PERF_RECORD_LOST && record.size() >= sizeof(losing)) {
      std::memcpy(&losing, record.data(), sizeof(losing));
      lost += losing.lost;
    }
    tail += header.size;
  }
  __atomic_store_n(&positions->data_tail, head, __ATOMIC_RELEASE);
  return lost;
}

MappingEvents::MappingEvents() = default;
MappingEvents::MappingEvents(MappingEvents&&) noexcept = default;
MappingEvents& MappingEvents::operator=(MappingEvents&&) noexcept = default;
MappingEvents::~MappingEvents() = default;

Result<MappingEvents> MappingEvents::open() {
  MappingEvents events;
  const long processors = ::sysconf(_SC_NPROCESSORS_CONF);
  for (int cpu = 0; cpu < processors; ++cpu) {
    UniqueFd event = open_event(cpu);
    // A processor that is switched off.
    if (!event.valid() && errno == ENODEV) continue;
    if (!event.valid())
      return Error::from_errno(errno, "cannot be told of new mappings of all processes",
                               "run as root, or with CAP_PERFMON");
    void* memory = ::mmap(nullptr, kPageSize + kRingSize, PROT_READ | PROT_WRITE, MAP_SHARED, event.get(), 0);
    if (memory == MAP_FAILED) return Error::from_errno(errno, "cannot map the events of new mappings");
    events.rings_.push_back(std::make_unique<Ring>(std::move(event), memory));
  }
  return events;
}

std::vector<int> MappingEvents::fds() const {
  std::vector<int> fds;
  for (const auto& ring : rings_) fds.push_back(ring->fd());
  return fds;
}

std::uint64_t MappingEvents::drain(const std::function<void(const MappingEvent&)>& handle) {
  std::uint64_t lost = 0;
  for (const auto& ring : rings_) lost += ring->drain(handle);
  return lost;
}

}  // namespace tracer::kernel
