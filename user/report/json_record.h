// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "report/rapidjson.h"

namespace tracer::report {

/// One NDJSON line in the making; members appear in the order of the calls. Any bytes are taken as text: what is not
/// valid UTF-8 becomes U+FFFD.
class JsonRecord {
 public:
  /// Opens the object with "type".
  explicit JsonRecord(std::string_view type);

  JsonRecord& text(const char* name, std::string_view value);
  JsonRecord& number(const char* name, std::uint64_t value);
  JsonRecord& integer(const char* name, std::int64_t value);
  JsonRecord& real(const char* name, double value);
  /// With `decimals` digits behind the point.
  JsonRecord& real(const char* name, double value, int decimals);
  JsonRecord& flag(const char* name, bool value);
  JsonRecord& null(const char* name);
  /// "0x7f…": addresses are strings, because JSON numbers above 2^53 lose digits in many readers.
  JsonRecord& address(const char* name, std::uint64_t value);
  JsonRecord& numbers(const char* name, std::span<const std::uint64_t> values);
  JsonRecord& texts(const char* name, const std::vector<std::string>& values);
  /// A point in Unix time, in seconds with six decimals.
  JsonRecord& time(const char* name, std::uint64_t unix_us);
  /// "ts" and "t_ns".
  JsonRecord& times(std::uint64_t unix_us, std::uint64_t t_ns);

  JsonRecord& begin_object(const char* name);
  JsonRecord& begin_array(const char* name);
  /// An object as the next element of an array.
  JsonRecord& begin_element();
  JsonRecord& element(std::int64_t value);
  JsonRecord& end_object();
  JsonRecord& end_array();

  /// Closes the object; the line with its end of line. Stays valid as long as the record.
  std::string_view finish();

 private:
  void write_text(std::string_view value);

  rapidjson::StringBuffer buffer_;
  rapidjson::Writer<rapidjson::StringBuffer, rapidjson::UTF8<>, rapidjson::UTF8<>, rapidjson::CrtAllocator,
                    rapidjson::kWriteValidateEncodingFlag>
      writer_;
};

}  // namespace tracer::report
