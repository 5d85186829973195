// SPDX-License-Identifier: Apache-2.0
#include "kernel/mapping_events.h"

#include <gtest/gtest.h>
#include <linux/perf_event.h>

#include <cstring>

namespace tracer::kernel {
namespace {

/// A record as the kernel writes it, from perf_event_open(2): each of these values is its own, so that none can stand
/// for another.
struct Made {
  std::vector<std::byte> bytes;

  template <typename T>
  void add(T value) {
    const std::size_t at = bytes.size();
    bytes.resize(at + sizeof(value));
    std::memcpy(bytes.data() + at, &value, sizeof(value));
  }
  void add_text(std::string_view text, std::size_t size) {
    const std::size_t at = bytes.size();
    bytes.resize(at + size);
    std::memcpy(bytes.data() + at, text.data(), std::min(size, text.size()));
  }
};

constexpr std::size_t kFixedSize = 72;  // up to the path

/// `path_size`: with the zero bytes that fill it up to eight.
Made made_mapping(std::string_view path, std::size_t path_size, std::uint32_t type = PERF_RECORD_MMAP2) {
  Made made;
  const auto size = static_cast<std::uint16_t>(kFixedSize + path_size + sizeof(std::uint64_t));
  made.add(perf_event_header{type, PERF_RECORD_MISC_USER, size});
  made.add<std::uint32_t>(4242);              // pid
  made.add<std::uint32_t>(4343);              // tid
  made.add<std::uint64_t>(0x7f00'1234'5000);  // address
  made.add<std::uint64_t>(0x3000);            // length
  made.add<std::uint64_t>(0x26000);           // offset in the file
  made.add<std::uint32_t>(254);               // major
  made.add<std::uint32_t>(3);                 // minor
  made.add<std::uint64_t>(332'835);           // inode
  made.add<std::uint64_t>(2'670'054'435);     // generation
  made.add<std::uint32_t>(5);                 // protection
  made.add<std::uint32_t>(2);                 // flags
  made.add_text(path, path_size);
  made.add<std::uint64_t>(987'654'321);  // time
  return made;
}

TEST(ParseMappingEvent, ReadsEachMember) {
  const Made made = made_mapping("/usr/lib/libc.so.6", 24);
  MappingEvent event;
  ASSERT_TRUE(parse_mapping_event(made.bytes, &event));
  EXPECT_EQ(event.pid, 4242);
  EXPECT_EQ(event.start, 0x7f00'1234'5000U);
  EXPECT_EQ(event.end, 0x7f00'1234'8000U);
  EXPECT_EQ(event.file_offset, 0x26000U);
  EXPECT_EQ(event.device_major, 254U);
  EXPECT_EQ(event.device_minor, 3U);
  EXPECT_EQ(event.inode, 332'835U);
  EXPECT_EQ(event.generation, 2'670'054'435U);
  EXPECT_EQ(event.time_ns, 987'654'321U);
  EXPECT_EQ(event.path, "/usr/lib/libc.so.6");
}

TEST(ParseMappingEvent, OverwritesWhatAnEventHeldBefore) {
  MappingEvent event;
  ASSERT_TRUE(parse_mapping_event(made_mapping("/a/much/longer/name", 24).bytes, &event));
  ASSERT_TRUE(parse_mapping_event(made_mapping("/b", 8).bytes, &event));
  EXPECT_EQ(event.path, "/b");
}

TEST(ParseMappingEvent, TakesAPathWithoutAZeroByteAsFarAsItGoes) {
  MappingEvent event;
  ASSERT_TRUE(parse_mapping_event(made_mapping("/12345678", 8).bytes, &event));
  EXPECT_EQ(event.path, "/1234567");
  EXPECT_EQ(event.time_ns, 987'654'321U) << "the time is not a part of the path";
}

TEST(ParseMappingEvent, TakesAnEmptyPath) {
  MappingEvent event;
  ASSERT_TRUE(parse_mapping_event(made_mapping("", 8).bytes, &event));
  EXPECT_EQ(event.path, "");
  ASSERT_TRUE(parse_mapping_event(made_mapping("", 0).bytes, &event));
  EXPECT_EQ(event.path, "");
  EXPECT_EQ(event.time_ns, 987'654'321U);
}

TEST(ParseMappingEvent, KeepsBytesThatAreNoText) {
  MappingEvent event;
  ASSERT_TRUE(parse_mapping_event(made_mapping("/\xff\n\x01", 8).bytes, &event));
  EXPECT_EQ(event.path, "/\xff\n\x01");
}

TEST(ParseMappingEvent, RefusesRecordsOfOtherTypes) {
  for (const std::uint32_t type : {0U, std::uint32_t{PERF_RECORD_MMAP}, std::uint32_t{PERF_RECORD_LOST},
                                   std::uint32_t{PERF_RECORD_COMM}, std::uint32_t{PERF_RECORD_MMAP2} + 1, ~0U}) {
    MappingEvent event;
    EXPECT_FALSE(parse_mapping_event(made_mapping("/usr/lib/libc.so.6", 24, type).bytes, &event)) << type;
  }
}

TEST(ParseMappingEvent, RefusesEveryRecordThatIsTooShort) {
  const Made whole = made_mapping("", 0);
  for (std::size_t size = 0; size < whole.bytes.size(); ++size) {
    // A copy of that size, so that a sanitizer sees a read behind its end.
    const std::vector<std::byte> cut(whole.bytes.begin(), whole.bytes.begin() + static_cast<std::ptrdiff_t>(size));
    MappingEvent event;
    EXPECT_FALSE(parse_mapping_event(cut, &event)) << size;
  }
}

TEST(ParseMappingEvent, LeavesAnEventAloneThatItRefuses) {
  MappingEvent event;
  event.path = "/before";
  event.pid = 7;
  EXPECT_FALSE(parse_mapping_event(made_mapping("/after", 8, PERF_RECORD_COMM).bytes, &event));
  EXPECT_EQ(event.path, "/before");
  EXPECT_EQ(event.pid, 7);
}

}  // namespace
}  // namespace tracer::kernel
