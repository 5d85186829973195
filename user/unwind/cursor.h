// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

namespace tracer::unwind {

/// Reads little-endian numbers one after the other, never behind the end: there it yields zeros and has failed() from
/// then on, so that a caller may read a whole record and ask once. Points into bytes that must outlive it.
class Cursor {
 public:
  Cursor() = default;
  explicit Cursor(std::span<const std::byte> bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool failed() const { return failed_; }
  bool at_end() const { return at_ == end_; }
  std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }
  const std::byte* position() const { return at_; }
  std::span<const std::byte> rest() const { return {at_, left()}; }

  template <typename T>
  T number() {
    static_assert(std::endian::native == std::endian::little && std::is_integral_v<T>);
    T value = 0;
    if (left() < sizeof(T)) {
      fail();
    } else {
      std::memcpy(&value, at_, sizeof(T));
      at_ += sizeof(T);
    }
    return value;
  }

  /// Bits above the 64th are dropped; there may be any number of them.
  std::uint64_t uleb() { return leb().value; }
  std::int64_t sleb() {
    const Leb read = leb();
    const bool is_negative = (read.last & 0x40) != 0 && read.shift < 64;
    return static_cast<std::int64_t>(is_negative ? read.value | ~std::uint64_t{0} << read.shift : read.value);
  }

  std::span<const std::byte> bytes(std::uint64_t size) {
    if (size > left()) {
      fail();
      return {};
    }
    const std::span<const std::byte> taken(at_, static_cast<std::size_t>(size));
    at_ += size;
    return taken;
  }

  /// Up to the next zero byte, which is passed.
  std::string_view text() {
    const void* zero = at_end() ? nullptr : std::memchr(at_, 0, left());
    if (zero == nullptr) {
      fail();
      return {};
    }
    const auto* end = static_cast<const std::byte*>(zero);
    const std::string_view found(reinterpret_cast<const char*>(at_), static_cast<std::size_t>(end - at_));
    at_ = end + 1;
    return found;
  }

 private:
  struct Leb {
    std::uint64_t value = 0;
    unsigned shift = 0;
    unsigned last = 0;
  };

  Leb leb() {
    Leb read;
    do {
      read.last = number<std::uint8_t>();
      if (read.shift < 64) {
        read.value |= std::uint64_t{read.last & 0x7f} << read.shift;
        read.shift += 7;
      }
    } while ((read.last & 0x80) != 0);
    return read;
  }

  void fail() {
    failed_ = true;
    at_ = end_;
  }

  const std::byte* at_ = nullptr;
  const std::byte* end_ = nullptr;
  bool failed_ = false;
};

}  // namespace tracer::unwind
