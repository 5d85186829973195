// SPDX-License-Identifier: Apache-2.0
#include "recording/fields.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <string_view>

namespace tracer::recording {
namespace {

constexpr std::uint64_t kLargestExact = std::uint64_t{1} << 53;
constexpr double kLatestTime = 1e11;  // seconds: the year 5138

std::string string_of(const rapidjson::Value& value) { return {value.GetString(), value.GetStringLength()}; }

}  // namespace

Fields::Fields(const rapidjson::Value& value, std::string* problem)
    : object_(value.IsObject() ? &value : nullptr), problem_(problem) {
  if (object_ == nullptr) complain("no object where one must be");
}

void Fields::complain(const std::string& what) const {
  if (problem_->empty()) *problem_ = what;
}

const rapidjson::Value* Fields::find(const char* name) const {
  if (object_ == nullptr) return nullptr;
  const auto member = object_->FindMember(name);
  return member == object_->MemberEnd() ? nullptr : &member->value;
}

const rapidjson::Value* Fields::required(const char* name) const {
  const rapidjson::Value* value = find(name);
  if (value == nullptr) complain(fmt::format("'{}' is missing", name));
  return value;
}

std::uint64_t Fields::count_of(const char* name, const rapidjson::Value& value) const {
  if (value.IsUint64() && value.GetUint64() <= kLargestExact) return value.GetUint64();
  complain(fmt::format("'{}' is no count", name));
  return 0;
}

std::uint64_t Fields::count(const char* name) const {
  const rapidjson::Value* value = required(name);
  return value == nullptr ? 0 : count_of(name, *value);
}

std::uint64_t Fields::count_or(const char* name, std::uint64_t otherwise) const {
  const rapidjson::Value* value = find(name);
  return value == nullptr ? otherwise : count_of(name, *value);
}

std::int32_t Fields::small(const char* name) const {
  const rapidjson::Value* value = required(name);
  return value == nullptr ? 0 : small_or(name, 0);
}

std::int32_t Fields::small_or(const char* name, std::int32_t otherwise) const {
  const rapidjson::Value* value = find(name);
  if (value == nullptr) return otherwise;
  if (value->IsInt() && value->GetInt() >= 0) return value->GetInt();
  complain(fmt::format("'{}' is out of range", name));
  return otherwise;
}

std::optional<int> Fields::integer_or_null(const char* name) const {
  const rapidjson::Value* value = find(name);
  if (value == nullptr || value->IsNull()) return std::nullopt;
  return small_or(name, 0);
}

double Fields::real_or(const char* name, double otherwise) const {
  const rapidjson::Value* value = find(name);
  if (value == nullptr) return otherwise;
  if (value->IsNumber() && std::isfinite(value->GetDouble()) && value->GetDouble() >= 0) return value->GetDouble();
  complain(fmt::format("'{}' is no number from 0 on", name));
  return otherwise;
}

bool Fields::flag_or(const char* name, bool otherwise) const {
  const rapidjson::Value* value = find(name);
  if (value == nullptr) return otherwise;
  if (value->IsBool()) return value->GetBool();
  complain(fmt::format("'{}' is neither true nor false", name));
  return otherwise;
}

std::string Fields::text(const char* name) const {
  const rapidjson::Value* value = required(name);
  return value == nullptr ? "" : text_or(name);
}

std::string Fields::text_or(const char* name, const char* otherwise) const {
  const rapidjson::Value* value = find(name);
  if (value == nullptr) return otherwise;
  if (value->IsString()) return string_of(*value);
  complain(fmt::format("'{}' is no text", name));
  return otherwise;
}

std::vector<std::string> Fields::texts_or_none(const char* name) const {
  std::vector<std::string> texts;
  each(name, [&](const rapidjson::Value& value) {
    if (!value.IsString()) return complain(fmt::format("'{}' holds something that is no text", name));
    texts.push_back(string_of(value));
  });
  return texts;
}

std::uint64_t Fields::address_or(const char* name, std::uint64_t otherwise) const {
  const rapidjson::Value* value = find(name);
  if (value == nullptr) return otherwise;
  const std::string_view text = value->IsString() ? std::string_view(value->GetString(), value->GetStringLength()) : "";
  std::uint64_t address = 0;
  const char* end = text.data() + text.size();
  if (text.starts_with("0x")) {
    const auto [rest, failure] = std::from_chars(text.data() + 2, end, address, 16);
    if (failure == std::errc() && rest == end) return address;
  }
  complain(fmt::format("'{}' is no address", name));
  return otherwise;
}

std::uint64_t Fields::time(const char* name) const {
  const rapidjson::Value* value = required(name);
  return value == nullptr ? 0 : time_or(name, 0);
}

std::uint64_t Fields::time_or(const char* name, std::uint64_t otherwise) const {
  const rapidjson::Value* value = find(name);
  if (value == nullptr) return otherwise;
  if (value->IsNumber() && value->GetDouble() >= 0 && value->GetDouble() < kLatestTime)
    return static_cast<std::uint64_t>(std::llround(value->GetDouble() * 1e6));
  complain(fmt::format("'{}' is no time", name));
  return otherwise;
}

Fields Fields::object(const char* name) const {
  static const rapidjson::Value kEmpty(rapidjson::kObjectType);
  const rapidjson::Value* value = required(name);
  return {value == nullptr ? kEmpty : *value, problem_};
}

void Fields::each(const char* name, const std::function<void(const rapidjson::Value&)>& take) const {
  const rapidjson::Value* value = find(name);
  if (value == nullptr) return;
  if (!value->IsArray()) return complain(fmt::format("'{}' is no array", name));
  for (const rapidjson::Value& element : value->GetArray()) take(element);
}

void Fields::each_count(const char* name, const std::function<void(const std::string&, std::uint64_t)>& take) const {
  const rapidjson::Value* value = find(name);
  if (value == nullptr) return;
  if (!value->IsObject()) return complain(fmt::format("'{}' is no object", name));
  for (const auto& member : value->GetObject()) take(string_of(member.name), count_of(name, member.value));
}

}  // namespace tracer::recording
