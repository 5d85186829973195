// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "report/rapidjson.h"
#include "report/text.h"

namespace tracer::report {

using JsonWriter = rapidjson::Writer<rapidjson::StringBuffer>;

/// Any bytes as a string; what is not valid UTF-8 becomes U+FFFD.
inline void write_json_text(JsonWriter& json, std::string_view text) {
  const std::string valid = valid_utf8(text);
  json.String(valid.data(), static_cast<rapidjson::SizeType>(valid.size()));
}

inline std::string_view json_text(const rapidjson::StringBuffer& buffer) {
  return {buffer.GetString(), buffer.GetSize()};
}

}  // namespace tracer::report
