// SPDX-License-Identifier: Apache-2.0
#include "report/machine_json.h"

#include <cstdint>
#include <string>
#include <vector>

namespace tracer::report {
namespace {

void texts_if_given(JsonRecord& record, const char* name, const std::vector<std::string>& values) {
  if (!values.empty()) record.texts(name, values);
}

template <typename T>
void numbers_if_given(JsonRecord& record, const char* name, const std::vector<T>& values) {
  if (values.empty()) return;
  record.begin_array(name);
  for (const T value : values) record.element(static_cast<std::int64_t>(value));
  record.end_array();
}

}  // namespace

void add_filters(JsonRecord& record, const proc::ProcessFilter& filter) {
  record.begin_object("filters");
  texts_if_given(record, "comms", filter.comms);
  numbers_if_given(record, "uids", filter.users);
  texts_if_given(record, "cgroups", filter.cgroups);
  texts_if_given(record, "containers", filter.containers);
  numbers_if_given(record, "excluded_pids", filter.excluded_pids);
  if (filter.pidns && filter.pidns->pid != 0) record.integer("pidns_of", filter.pidns->pid);
  if (filter.pidns && filter.pidns->inode != 0) record.number("pidns", filter.pidns->inode);
  record.end_object();
}

void add_machine(JsonRecord& record, const heap::MachineTotals& machine) {
  record.number("processes_seen_total", machine.processes_seen_total)
      .number("processes_exited_total", machine.processes_exited_total)
      .number("processes_live", machine.processes_live)
      .number("held_at_exit_bytes_total", machine.held_at_exit_bytes_total)
      .number("held_at_exit_objects_total", machine.held_at_exit_objects_total)
      .number("rss_bytes", machine.rss_bytes);
}

}  // namespace tracer::report
