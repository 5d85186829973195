// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tracer::report {

/// What the place-holders in the name of an output stand for.
struct NameFacts {
  pid_t pid = 0;              ///< %p: the first traced process; with --all tracer itself
  std::string host;           ///< %h
  std::uint64_t unix_us = 0;  ///< %t: when the run began, "20261127-140307" in local time
};

/// Fails with kUsage on a place-holder that is not known, and on any in the name of a folder: the folder is opened
/// before they have a meaning.
Result<void> check_file_name(std::string_view path);

/// Whether the name has %n: a file for each snapshot.
bool has_snapshot_number(std::string_view path);
/// Whether it has any place-holder, "%%" for a percent sign among them.
bool has_placeholder(std::string_view path);

/// The name with every place-holder replaced; `seq` is the number of the snapshot.
std::string expand_file_name(std::string_view path, const NameFacts& facts, std::uint64_t seq);

}  // namespace tracer::report
