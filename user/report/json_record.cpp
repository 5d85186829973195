// SPDX-License-Identifier: Apache-2.0
#include "report/json_record.h"

#include <fmt/format.h>

#include "base/result.h"
#include "report/text.h"

namespace tracer::report {
namespace {

rapidjson::SizeType length_of(std::string_view text) { return static_cast<rapidjson::SizeType>(text.size()); }

}  // namespace

JsonRecord::JsonRecord(std::string_view type) : writer_(buffer_) {
  writer_.StartObject();
  text("type", type);
}

JsonRecord& JsonRecord::text(const char* name, std::string_view value) {
  writer_.Key(name);
  write_text(value);
  return *this;
}

JsonRecord& JsonRecord::number(const char* name, std::uint64_t value) {
  writer_.Key(name);
  writer_.Uint64(value);
  return *this;
}

JsonRecord& JsonRecord::integer(const char* name, std::int64_t value) {
  writer_.Key(name);
  writer_.Int64(value);
  return *this;
}

JsonRecord& JsonRecord::real(const char* name, double value) {
  writer_.Key(name);
  writer_.Double(value);
  return *this;
}

JsonRecord& JsonRecord::real(const char* name, double value, int decimals) {
  const std::string digits = fmt::format("{:.{}f}", value, decimals);
  writer_.Key(name);
  writer_.RawValue(digits.data(), digits.size(), rapidjson::kNumberType);
  return *this;
}

JsonRecord& JsonRecord::flag(const char* name, bool value) {
  writer_.Key(name);
  writer_.Bool(value);
  return *this;
}

JsonRecord& JsonRecord::null(const char* name) {
  writer_.Key(name);
  writer_.Null();
  return *this;
}

JsonRecord& JsonRecord::address(const char* name, std::uint64_t value) {
  return text(name, fmt::format("{:#x}", value));
}

JsonRecord& JsonRecord::numbers(const char* name, std::span<const std::uint64_t> values) {
  begin_array(name);
  for (const std::uint64_t value : values) writer_.Uint64(value);
  return end_array();
}

JsonRecord& JsonRecord::texts(const char* name, const std::vector<std::string>& values) {
  begin_array(name);
  for (const std::string& value : values) write_text(value);
  return end_array();
}

JsonRecord& JsonRecord::time(const char* name, std::uint64_t unix_us) {
  const std::string seconds = fmt::format("{}.{:06}", unix_us / 1'000'000, unix_us % 1'000'000);
  writer_.Key(name);
  writer_.RawValue(seconds.data(), seconds.size(), rapidjson::kNumberType);
  return *this;
}

JsonRecord& JsonRecord::times(std::uint64_t unix_us, std::uint64_t t_ns) {
  return time("ts", unix_us).number("t_ns", t_ns);
}

JsonRecord& JsonRecord::begin_object(const char* name) {
  writer_.Key(name);
  return begin_element();
}

JsonRecord& JsonRecord::begin_array(const char* name) {
  writer_.Key(name);
  writer_.StartArray();
  return *this;
}

JsonRecord& JsonRecord::begin_element() {
  writer_.StartObject();
  return *this;
}

JsonRecord& JsonRecord::element(std::int64_t value) {
  writer_.Int64(value);
  return *this;
}

JsonRecord& JsonRecord::end_object() {
  writer_.EndObject();
  return *this;
}

JsonRecord& JsonRecord::end_array() {
  writer_.EndArray();
  return *this;
}

std::string_view JsonRecord::finish() {
  writer_.EndObject();
  TRACER_CHECK(writer_.IsComplete());
  buffer_.Put('\n');
  return {buffer_.GetString(), buffer_.GetSize()};
}

void JsonRecord::write_text(std::string_view value) {
  const std::string clean = valid_utf8(value);
  TRACER_CHECK(writer_.String(clean.data(), length_of(clean)));
}

}  // namespace tracer::report
