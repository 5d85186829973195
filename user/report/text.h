// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tracer::report {

/// `bytes` as valid UTF-8: every malformed part becomes one U+FFFD. Names in a traced program may hold anything.
std::string valid_utf8(std::string_view bytes);

/// `bytes` as one line that a terminal shows and does not obey: control characters, malformed UTF-8, and the invisible
/// characters that reorder or hide text are written as "\x1b" or "\u202e".
std::string printable(std::string_view bytes);

/// Columns that printable text takes; counts a character that may be wide as two.
std::size_t columns_of(std::string_view text);

/// Printable text that takes no more than `columns`; ends in "..." when something was cut off.
std::string cut_to(std::string_view text, std::size_t columns);

/// What follows the last slash.
std::string_view base_name(std::string_view path);

}  // namespace tracer::report
