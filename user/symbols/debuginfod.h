// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

struct debuginfod_client;

namespace tracer::symbols {

/// Debug files from servers, by build id: elfutils' libdebuginfod, which keeps what it got in ~/.cache (see
/// debuginfod_find_debuginfo(3)). The library is loaded when it is first wanted, and need not be installed.
///
/// A question waits for the network: at most 5 s for a server that says nothing, 60 s in all, unless DEBUGINFOD_TIMEOUT
/// and DEBUGINFOD_MAXTIME say otherwise. Used by one thread.
class Debuginfod {
 public:
  /// `urls`: of servers, with blanks between; empty: what DEBUGINFOD_URLS says. Fails with kUsage when that says
  /// nothing either, with kNotFound when the library is not installed.
  static Result<std::unique_ptr<Debuginfod>> open(const std::string& urls);
  ~Debuginfod();
  Debuginfod(const Debuginfod&) = delete;
  Debuginfod& operator=(const Debuginfod&) = delete;

  /// The debug file with that build id (lower-case hex). `whose` is for the note that a terminal gets when it takes
  /// longer than a second.
  Result<UniqueFd> find(const std::string& build_id, const std::string& whose);

 private:
  struct Library;
  explicit Debuginfod(std::unique_ptr<Library> library);

  std::unique_ptr<Library> library_;
  debuginfod_client* client_ = nullptr;
};

}  // namespace tracer::symbols
