// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tracer::cli {

inline constexpr pid_t kLargestPid = 1 << 22;  // PID_MAX_LIMIT, proc(5)

/// A refusal of the command line.
Error usage(std::string message, std::string hint = "see 'tracer --help'");

/// A whole number in decimal digits.
Result<std::uint64_t> parse_number(const std::string& option, const std::string& text, std::uint64_t least,
                                   std::uint64_t most);

/// The words of lists with commas, in their order and each once. Fails on an empty word; `what` is what it should have
/// been: "process id".
Result<std::vector<std::string>> split_lists(const std::string& option, const char* what,
                                             const std::vector<std::string>& lists);

/// Whether `pattern` is a regular expression of ECMAScript, and a short one; an empty one stands for none.
Result<void> check_regex(const std::string& option, const std::string& pattern);

Result<std::vector<pid_t>> parse_pids(const std::string& option, const std::vector<std::string>& lists);

}  // namespace tracer::cli
