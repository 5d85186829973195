// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <array>

#include "base/clock.h"
#include "base/log.h"
#include "heap/estimate.h"
#include "session/session_impl.h"
#include "session/session_write.h"
#include "tracing/books.h"

namespace tracer::session {

/// Attaches the heap probes and records from then on: all at one instant.
Result<void> Session::enable() {
  if (is_recording_) return {};
  histories_.clear();
  // The books first: with the probes a call may end that began before the pause.
  if (recording_ns_ != 0) tracing::end_pause(*object_);
  Result<void> armed = armer_->arm_heap();
  publish_time(monotonic_ns());
  __atomic_store_n(&object_->globals().recording, 1, __ATOMIC_RELEASE);
  is_recording_ = true;
  const std::uint64_t now = monotonic_ns();
  report::RecordingEvent event;
  event.enabled = true;
  event.paused_ns = pause_began_ns_ == 0 ? 0 : now - pause_began_ns_;
  paused_ns_ += event.paused_ns;
  pause_began_ns_ = 0;
  const bool is_first = recording_ns_ == 0;
  if (is_first) start_guard();
  if (is_first) {
    recording_ns_ = now;
    if (config_.duration_ns) {
      Result<void> added = loop_->add_timer(*config_.duration_ns, [this] { stop("duration"); });
      if (!added) return added;
    }
  }
  // A run that records from its start says nothing of it.
  if (is_first && event.paused_ns == 0) return armed;
  event.t_ns = since_start_ns();
  event.unix_us = unix_us();
  std::uint64_t unverified_units = 0;
  for (const tr_unverified& of_stack : object_->unverified()) {
    unverified_units += of_stack.units;
    event.unverified_bytes += of_stack.bytes;
  }
  event.unverified_objects = heap::whole_objects(unverified_units);
  write([&](report::Writer& writer) { return writer.recording(event); });
  log::info("recording is on");
  return armed;
}

/// Detaches the heap probes; libraries are followed on.
Result<void> Session::disable() {
  if (!is_recording_ && pause_began_ns_ != 0) return {};
  end_recording();
  is_recording_ = false;
  ++pauses_;
  pause_began_ns_ = monotonic_ns();
  kernel::detach_all(armer_->disarm_heap());
  report::RecordingEvent event;
  event.t_ns = since_start_ns();
  event.unix_us = unix_us();
  write([&](report::Writer& writer) { return writer.recording(event); });
  log::info("recording is off");
  return {};
}

void Session::delay_is_over() {
  // The timer goes on; once is enough.
  if (recording_ns_ != 0) return;
  if (Result<void> enabled = enable(); !enabled) log::info("recording could not begin: {}", enabled.error().message());
}

std::uint64_t Session::paused_ns() const {
  return paused_ns_ + (pause_began_ns_ == 0 ? 0 : monotonic_ns() - pause_began_ns_);
}

/// A command that came through --control.
Result<void> Session::obey(std::string_view command) {
  if (command == "enable") return enable();
  if (command == "disable") return disable();
  if (command == "snapshot") {
    take_snapshot();
    return {};
  }
  if (command == "ping") return {};
  if (command == "stop") {
    stop("control");
    return {};
  }
  return Error(
      ErrorKind::kUsage,
      fmt::format("unknown command '{}'; there are enable, disable, snapshot, ping and stop", command.substr(0, 40)));
}

}  // namespace tracer::session
