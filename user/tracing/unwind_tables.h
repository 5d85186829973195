// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstdint>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "kernel/bpf_object.h"
#include "library/library.h"
#include "tracing/word_space.h"
#include "unwind/rules.h"
#include "unwind/table.h"

namespace tracer::tracing {

/// Gives the kernel half the unwind tables that it needs: one per build id, whatever files and processes show it.
///
/// A thread of its own reads the files, those first that a stack already waits for. Tables stay when nothing maps their
/// file any more, until room is needed: then the one goes that was not looked into for the longest time. Used by the
/// session thread.
class UnwindTables {
 public:
  explicit UnwindTables(kernel::BpfObject& object);
  ~UnwindTables();
  UnwindTables(const UnwindTables&) = delete;
  UnwindTables& operator=(const UnwindTables&) = delete;

  /// Has the table of a library, whose file must be open, made for the number that the kernel half knows the file by.
  void want(std::uint32_t number, const library::Library& library);

  /// The rule for an offset of a library's file, TR_CFA_NONE where its table says nothing.
  enum class Answer : std::uint8_t {
    kRule,
    kLater,  ///< the table is being made
    kNever,  ///< there is none, or none any more
  };
  Answer rule_at(const library::Library& library, std::uint64_t file_offset, tr_rule* rule) const;

  /// Waits until all that was wanted is there.
  void wait();
  /// The same, for so long at most: false when it was not enough.
  bool wait(std::uint64_t timeout_ns);

  struct Totals {
    std::uint64_t tables = 0;   ///< made in this run
    std::uint64_t rows = 0;     ///< of these
    std::uint64_t evicted = 0;  ///< tables that had to make room
    std::uint64_t build_ns = 0;
    std::uint32_t words_used = 0;  ///< of the kernel half's table memory
  };
  Totals totals() const;

 private:
  struct Content {
    enum class State : std::uint8_t { kQueued, kPlaced, kNone } state = State::kQueued;
    std::vector<std::uint32_t> numbers;
    tr_table place = {};      ///< when kPlaced
    std::uint32_t words = 0;  ///< its size there
  };
  struct Job {
    std::string content;
    std::string path;
    UniqueFd file;
  };

  void work();
  std::list<Job>::iterator most_wanted();
  void make(Job job);
  bool place(const std::string& content, const unwind::Table& table);
  void publish_rules();
  bool evict_oldest();
  void enter(std::uint32_t number, const Content& content);

  kernel::BpfObject& object_;
  // Of the worker alone.
  unwind::Rules rules_;
  std::size_t published_rules_ = 0;
  WordSpace space_;

  mutable std::mutex mutex_;  ///< guards what follows
  std::condition_variable changed_;
  std::map<std::string, Content> contents_;  ///< by build id, or by the number of a library that has none
  std::list<Job> jobs_;
  bool is_busy_ = false;
  bool is_over_ = false;
  Totals totals_;
  std::thread worker_;
};

}  // namespace tracer::tracing
