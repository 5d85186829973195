// SPDX-License-Identifier: Apache-2.0
#include "report/misuse_text.h"

#include <fmt/format.h>

#include <array>

#include "base/units.h"
#include "report/text.h"

namespace tracer::report {
namespace {

struct KindText {
  const char* name;
  const char* allocated_by;
  const char* freed_by;
};
/// By heap::BlockKind.
constexpr std::array<KindText, 4> kKinds{{
    {"malloc", "malloc or its like", "free or realloc"},
    {"new", "operator new", "operator delete"},
    {"new[]", "operator new[]", "operator delete[]"},
    {"any", "any of these", "any of these"},
}};

std::string what_happened(const heap::Anomaly& anomaly) {
  const std::string block = "a block of " + format_bytes(anomaly.size_bytes);
  switch (anomaly.type) {
    case heap::Anomaly::Type::kMismatch:
      return fmt::format("{} of {} is freed by {}", block,
                         kKinds[static_cast<std::size_t>(anomaly.alloc_kind)].allocated_by,
                         kKinds[static_cast<std::size_t>(anomaly.free_kind)].freed_by);
    case heap::Anomaly::Type::kDoubleFree:
      return block + " is freed a second time";
    case heap::Anomaly::Type::kInside:
      return fmt::format("an address {} inside of {} is freed", format_bytes(anomaly.offset_bytes), block);
  }
  return block;
}

void add_misuse(TableText& text, SiteText& sites, const heap::Anomaly& anomaly, std::size_t number) {
  text.parts({fmt::format("{:>4}. {}", number, what_happened(anomaly)), counted(anomaly.count, "time"),
              fmt::format("first at {:#x}", anomaly.address)});
  text.line("      freed by", Tone::kFaint);
  sites.add_stack(text, anomaly.stack_id);
  if (anomaly.type == heap::Anomaly::Type::kDoubleFree) {
    text.line("      freed before by", Tone::kFaint);
    sites.add_stack(text, anomaly.first_free_stack_id);
  }
  text.line("      allocated by", Tone::kFaint);
  sites.add_stack(text, anomaly.alloc_stack_id);
}

}  // namespace

const char* anomaly_name(heap::Anomaly::Type type) {
  switch (type) {
    case heap::Anomaly::Type::kMismatch:
      return "mismatched_free";
    case heap::Anomaly::Type::kDoubleFree:
      return "double_free";
    case heap::Anomaly::Type::kInside:
      return "interior_free";
  }
  return "";
}

const char* kind_name(heap::BlockKind kind) { return kKinds[static_cast<std::size_t>(kind)].name; }

void add_misuses(TableText& text, SiteText& sites, const heap::Snapshot& snapshot) {
  for (const heap::ProcessSnapshot& process : snapshot.processes) {
    if (process.anomalies.empty()) continue;
    text.line("");
    text.parts({fmt::format("Misuse in pid {} {}", process.pid, printable(process.comm)),
                counted(process.anomalies.size(), "kind") + " of it"},
               Tone::kLoud);
    std::size_t number = 0;
    for (const heap::Anomaly& anomaly : process.anomalies) add_misuse(text, sites, anomaly, ++number);
  }
}

}  // namespace tracer::report
