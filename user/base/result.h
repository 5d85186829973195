// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace tracer {

/// What a caller can do about a failure; the text is for people, the kind is for code.
enum class ErrorKind {
  kUsage,        ///< the user asked for something that makes no sense
  kNotFound,     ///< no such process, file or symbol
  kPermission,   ///< more privileges would help
  kUnsupported,  ///< this kernel, machine or target cannot do it
  kGone,         ///< it existed a moment ago: a process or mapping that went away
  kCorrupt,      ///< input that does not follow its format
  kIo,           ///< the operating system refused a read, write or map operation
};

/// Why an operation failed: what was tried, on what, why, and what to do about it.
class [[nodiscard]] Error {
 public:
  Error(ErrorKind kind, std::string message, std::string hint = {})
      : kind_(kind), message_(std::move(message)), hint_(std::move(hint)) {}

  /// An error made from `errno_value`; the kind follows from it. `what` says what was tried.
  static Error from_errno(int errno_value, const std::string& what, std::string hint = {});

  ErrorKind kind() const { return kind_; }
  /// The errno behind the failure, 0 when there is none.
  int errno_value() const { return errno_value_; }
  /// One line without a final stop, outermost context first.
  const std::string& message() const { return message_; }
  /// What to do about it; may be empty.
  const std::string& hint() const { return hint_; }

  /// The same error seen from one floor higher: "`context`: message".
  Error in_context(const std::string& context) && {
    message_ = context + ": " + message_;
    return std::move(*this);
  }
  Error with_hint(std::string hint) && {
    hint_ = std::move(hint);
    return std::move(*this);
  }

 private:
  ErrorKind kind_;
  int errno_value_ = 0;
  std::string message_;
  std::string hint_;
};

namespace detail {
[[noreturn]] void check_failed(const char* expression, const char* file, int line);
}  // namespace detail

/// An assertion that stays on in release builds: a false one is our own mistake.
#define TRACER_CHECK(expression) \
  ((expression) ? (void)0 : ::tracer::detail::check_failed(#expression, __FILE__, __LINE__))

/// A value or an `Error`; shaped like std::expected, which g++ 12 lacks in C++20.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit by design
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    TRACER_CHECK(ok());
    return std::get<0>(state_);
  }
  const T& value() const& {
    TRACER_CHECK(ok());
    return std::get<0>(state_);
  }
  T&& value() && {
    TRACER_CHECK(ok());
    return std::get<0>(std::move(state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const& {
    TRACER_CHECK(!ok());
    return std::get<1>(state_);
  }
  Error&& error() && {
    TRACER_CHECK(!ok());
    return std::get<1>(std::move(state_));
  }

 private:
  std::variant<T, Error> state_;
};

/// Success without a value, or an `Error`.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit by design

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const& {
    TRACER_CHECK(!ok());
    return *error_;
  }
  Error&& error() && {
    TRACER_CHECK(!ok());
    return std::move(*error_);
  }

 private:
  std::optional<Error> error_;
};

}  // namespace tracer
