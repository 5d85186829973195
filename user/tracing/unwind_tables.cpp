// SPDX-License-Identifier: Apache-2.0
#include "tracing/unwind_tables.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "unwind/file_bytes.h"

namespace tracer::tracing {
namespace {

/// Until every program that may have seen a table is over: they run under RCU.
void wait_for_programs() {
  if (::syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0) return;
  // Kernels with CPUs that are never interrupted refuse; a program runs for microseconds.
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
}

std::string content_of(const library::Library& library) {
  if (library.image() && !library.image()->build_id().empty()) return library.image()->build_id();
  return fmt::format("library {}", library.module_id());
}

/// Signals are for the session's thread.
template <typename Body>
std::thread start_without_signals(Body&& body) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread(std::forward<Body>(body));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace

UnwindTables::UnwindTables(kernel::BpfObject& object)
    : object_(object), space_(static_cast<std::uint32_t>(object.unwind_words().size())) {
  worker_ = start_without_signals([this] { work(); });
}

UnwindTables::~UnwindTables() {
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
  }
  changed_.notify_all();
  worker_.join();
}

void UnwindTables::want(std::uint32_t number, const library::Library& library) {
  if (__atomic_load_n(&object_.tables()[number].state, __ATOMIC_RELAXED) != TR_TABLE_UNKNOWN) return;
  const std::string name = content_of(library);
  {
    const std::lock_guard lock(mutex_);
    if (!library.file().valid() && !contents_.contains(name)) {
      // Nobody will ever see that file again.
      if (!library.was_inspected()) __atomic_store_n(&object_.tables()[number].state, TR_TABLE_NONE, __ATOMIC_RELEASE);
      return;
    }
    const auto [found, is_new] = contents_.try_emplace(name);
    Content& content = found->second;
    if (std::ranges::find(content.numbers, number) == content.numbers.end()) content.numbers.push_back(number);
    if (!is_new) return enter(number, content);
    jobs_.push_back({name, library.path(), UniqueFd(::fcntl(library.file().get(), F_DUPFD_CLOEXEC, 3))});
  }
  changed_.notify_all();
}

UnwindTables::Answer UnwindTables::rule_at(const library::Library& library, std::uint64_t file_offset,
                                           tr_rule* rule) const {
  const std::lock_guard lock(mutex_);
  const auto found = contents_.find(content_of(library));
  if (found == contents_.end()) return Answer::kNever;
  const Content& content = found->second;
  if (content.state == Content::State::kQueued) return Answer::kLater;
  *rule = {};
  if (content.state == Content::State::kNone) return Answer::kRule;
  const std::span<const std::uint32_t> words = object_.unwind_words().subspan(content.place.first_word, content.words);
  *rule = object_.rules()[unwind::find_rule(content.place.low, content.place.bucket_count, words, file_offset)];
  return Answer::kRule;
}

void UnwindTables::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return jobs_.empty() && !is_busy_; });
}

bool UnwindTables::wait(std::uint64_t timeout_ns) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::nanoseconds(timeout_ns), [this] { return jobs_.empty() && !is_busy_; });
}

UnwindTables::Totals UnwindTables::totals() const {
  const std::lock_guard lock(mutex_);
  return totals_;
}

void UnwindTables::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return is_over_ || !jobs_.empty(); });
    if (is_over_) return;
    const auto next = most_wanted();
    Job job = std::move(*next);
    jobs_.erase(next);
    is_busy_ = true;
    lock.unlock();
    make(std::move(job));
    lock.lock();
    is_busy_ = false;
    changed_.notify_all();
  }
}

/// One that a stack has ended for, if there is one.
std::list<UnwindTables::Job>::iterator UnwindTables::most_wanted() {
  const auto found = std::ranges::find_if(jobs_, [this](const Job& job) {
    return std::ranges::any_of(contents_[job.content].numbers, [this](std::uint32_t number) {
      return __atomic_load_n(&object_.tables()[number].wanted, __ATOMIC_RELAXED) != 0;
    });
  });
  return found == jobs_.end() ? jobs_.begin() : found;
}

void UnwindTables::make(Job job) {
  const std::uint64_t begin_ns = monotonic_ns();
  const auto table = [&]() -> Result<unwind::Table> {
    Result<unwind::FileBytes> file = unwind::FileBytes::read(job.file.get());
    if (!file) return std::move(file).error();
    Result<std::vector<unwind::Row>> rows = unwind::read_rows(file->bytes());
    if (!rows) return std::move(rows).error();
    return unwind::build_table(*rows, rules_);
  }();
  job.file.reset();
  publish_rules();
  if (!table) log::verbose("no unwind table for {}: {}", job.path, table.error().message());
  const bool has_rows = table && !table->words.empty();
  const bool is_placed = has_rows && place(job.content, *table);
  if (has_rows && !is_placed) log::info("no room for the unwind table of {}: raise --max-memory", job.path);

  const std::lock_guard lock(mutex_);
  Content& content = contents_[job.content];
  content.state = is_placed ? Content::State::kPlaced : Content::State::kNone;
  for (const std::uint32_t number : content.numbers) enter(number, content);
  totals_.words_used = space_.used();
  totals_.build_ns += monotonic_ns() - begin_ns;
  if (!is_placed) return;
  totals_.tables++;
  totals_.rows += table->row_count();
}

/// Copies a table to where the kernel half can see it. False: it is larger than all the memory for tables.
bool UnwindTables::place(const std::string& name, const unwind::Table& table) {
  const auto count = static_cast<std::uint32_t>(table.words.size());
  std::optional<std::uint32_t> first;
  if (count > space_.size()) return false;
  while (!(first = space_.take(count))) {
    if (!evict_oldest()) return false;
  }
  std::ranges::copy(table.words, object_.unwind_words().begin() + *first);
  const std::lock_guard lock(mutex_);
  Content& content = contents_[name];
  content.words = count;
  content.place = {};
  content.place.low = table.low;
  content.place.first_word = *first;
  content.place.bucket_count = table.bucket_count;
  return true;
}

/// Before the tables that mention them.
void UnwindTables::publish_rules() {
  const std::vector<tr_rule>& all = rules_.all();
  for (; published_rules_ < all.size(); ++published_rules_) object_.rules()[published_rules_] = all[published_rules_];
}

bool UnwindTables::evict_oldest() {
  const auto used_tick = [this](const Content& content) {
    std::uint64_t last = 0;
    for (const std::uint32_t number : content.numbers)
      last = std::max<std::uint64_t>(last, object_.tables()[number].used_tick);
    return last;
  };
  std::unique_lock lock(mutex_);
  auto oldest = contents_.end();
  for (auto it = contents_.begin(); it != contents_.end(); ++it) {
    if (it->second.state != Content::State::kPlaced) continue;
    if (oldest == contents_.end() || used_tick(it->second) < used_tick(oldest->second)) oldest = it;
  }
  if (oldest == contents_.end()) return false;
  const Content gone = std::move(oldest->second);
  contents_.erase(oldest);
  for (const std::uint32_t number : gone.numbers) {
    tr_table& entry = object_.tables()[number];
    __atomic_store_n(&entry.state, TR_TABLE_UNKNOWN, __ATOMIC_RELEASE);
    __atomic_store_n(&entry.wanted, 0, __ATOMIC_RELEASE);
  }
  totals_.evicted++;
  lock.unlock();
  wait_for_programs();
  space_.give_back(gone.place.first_word, gone.words);
  return true;
}

/// Tells the kernel half what is known. The mutex is held.
void UnwindTables::enter(std::uint32_t number, const Content& content) {
  tr_table& entry = object_.tables()[number];
  if (content.state == Content::State::kQueued) return;
  if (content.state == Content::State::kPlaced) {
    entry.low = content.place.low;
    entry.first_word = content.place.first_word;
    entry.bucket_count = content.place.bucket_count;
    // As if it had just been looked into: it is not the first to go.
    entry.used_tick = object_.globals().tick;
  }
  const auto state = content.state == Content::State::kPlaced ? TR_TABLE_READY : TR_TABLE_NONE;
  __atomic_store_n(&entry.state, static_cast<std::uint32_t>(state), __ATOMIC_RELEASE);
}

}  // namespace tracer::tracing
