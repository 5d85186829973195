// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "session/config.h"

namespace tracer::session {

/// Commands from outside, a line each, through a FIFO; each is answered in a line through another one: "ack", or
/// "error: …". The protocol of `perf record --control`.
class Control {
 public:
  /// Fails when one of them is no FIFO. Waits for nobody: neither FIFO needs another end.
  static Result<Control> open(const ControlSpec& spec);

  /// Readable when commands wait.
  int fd() const { return commands_.get(); }

  /// Reads what there is, calls `handle` for each whole line, and answers with what it says.
  void read(const std::function<Result<void>(std::string_view command)>& handle);

 private:
  void answer(const Result<void>& result);

  UniqueFd commands_;
  UniqueFd answers_;  ///< not valid: nobody wants answers
  std::string pending_;
  bool is_skipping_ = false;  ///< the rest of a line that was too long
};

}  // namespace tracer::session
