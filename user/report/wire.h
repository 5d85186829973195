// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace tracer::report {

/// A protobuf message in the making: https://protobuf.dev/programming-guides/encoding. Fields stand in the order of the
/// calls; a value of 0 is left out, as it is what readers take a missing field for.
class WireMessage {
 public:
  WireMessage& number(unsigned field, std::uint64_t value) {
    if (value == 0) return *this;
    tag(field, kVarint);
    varint(value);
    return *this;
  }
  WireMessage& text(unsigned field, std::string_view value) {
    tag(field, kBytes);
    varint(value.size());
    bytes_.append(value);
    return *this;
  }
  WireMessage& message(unsigned field, const WireMessage& value) { return text(field, value.bytes_); }
  /// A packed repeated field.
  template <typename Numbers>
  WireMessage& numbers(unsigned field, const Numbers& values) {
    WireMessage packed;
    for (const std::uint64_t value : values) packed.varint(value);
    return message(field, packed);
  }

  const std::string& bytes() const { return bytes_; }

 private:
  static constexpr unsigned kVarint = 0;
  static constexpr unsigned kBytes = 2;

  void tag(unsigned field, unsigned type) { varint((std::uint64_t{field} << 3) | type); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

}  // namespace tracer::report
