// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "report/rapidjson.h"

namespace tracer::recording {

/// The members of one JSON object, each with the type that it must have.
///
/// The first member that is missing or of another type is remembered in `problem`, and nothing throws: what is returned
/// for it is 0 or empty. So a record is read whole and judged once. The names without "_or" are those of members that
/// must be there.
class Fields {
 public:
  /// `value` may be anything; `problem` outlives this and is empty as long as all is well.
  Fields(const rapidjson::Value& value, std::string* problem);

  bool has(const char* name) const { return find(name) != nullptr; }
  /// A whole number from 0 to 2^53, beyond which JSON numbers are not exact.
  std::uint64_t count(const char* name) const;
  std::uint64_t count_or(const char* name, std::uint64_t otherwise) const;
  /// A count that fits into 31 bits: process ids, line numbers.
  std::int32_t small(const char* name) const;
  std::int32_t small_or(const char* name, std::int32_t otherwise) const;
  std::optional<int> integer_or_null(const char* name) const;
  double real_or(const char* name, double otherwise) const;
  bool flag_or(const char* name, bool otherwise) const;
  std::string text(const char* name) const;
  std::string text_or(const char* name, const char* otherwise = "") const;
  std::vector<std::string> texts_or_none(const char* name) const;
  /// "0x1f" as a number.
  std::uint64_t address_or(const char* name, std::uint64_t otherwise) const;
  /// Seconds with a fraction as microseconds.
  std::uint64_t time(const char* name) const;
  std::uint64_t time_or(const char* name, std::uint64_t otherwise) const;
  Fields object(const char* name) const;
  /// Calls `take` with each element of an array; nothing for a missing one.
  void each(const char* name, const std::function<void(const rapidjson::Value&)>& take) const;
  /// Calls `take` with each member of an object of counts; nothing for a missing one.
  void each_count(const char* name, const std::function<void(const std::string&, std::uint64_t)>& take) const;

  void complain(const std::string& what) const;
  bool is_good() const { return problem_->empty(); }

 private:
  const rapidjson::Value* find(const char* name) const;
  const rapidjson::Value* required(const char* name) const;
  std::uint64_t count_of(const char* name, const rapidjson::Value& value) const;

  const rapidjson::Value* object_;  ///< nullptr: not an object
  std::string* problem_;
};

}  // namespace tracer::recording
