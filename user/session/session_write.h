// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "session/session_impl.h"

namespace tracer::session {

/// Hands a record to every writer. A writer that fails (its reader has gone, the disk is full) ends the run.
template <typename Write>
void Session::write(Write&& write) {
  if (failure_) return;
  if (Result<void> done = outputs_->each(write); !done) {
    failure_ = std::move(done).error();
    stop("error");
  }
}

}  // namespace tracer::session
