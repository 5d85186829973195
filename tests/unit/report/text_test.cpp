// SPDX-License-Identifier: Apache-2.0
#include "report/text.h"

#include <gtest/gtest.h>

#include <random>

namespace tracer::report {
namespace {

using std::string_literals::operator""s;

const std::string kBad = "\xef\xbf\xbd";

TEST(TextTest, LeavesValidUtf8AsItIs) {
  for (const std::string& text : {""s, "main"s, "/home/m\xc3\xbcller/\xe6\x97\xa5\xe6\x9c\xac"s, "\xf0\x9f\x90\x9b"s,
                                  "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf"s, "a\0b"s})
    EXPECT_EQ(valid_utf8(text), text);
}

TEST(TextTest, ReplacesEachMalformedPartByOneReplacementCharacter) {
  EXPECT_EQ(valid_utf8("a\x80z"), "a" + kBad + "z");
  EXPECT_EQ(valid_utf8("\xff\xfe"), kBad + kBad);
  EXPECT_EQ(valid_utf8("\xe6\x97"), kBad);                               // cut off
  EXPECT_EQ(valid_utf8("\xe6\x97x"), kBad + "x");                        // cut off before an ASCII character
  EXPECT_EQ(valid_utf8("\xc0\xaf"), kBad + kBad);                        // overlong slash
  EXPECT_EQ(valid_utf8("\xe0\x80\xaf"), kBad + kBad + kBad);             // overlong
  EXPECT_EQ(valid_utf8("\xed\xa0\x80"), kBad + kBad + kBad);             // surrogate
  EXPECT_EQ(valid_utf8("\xf4\x90\x80\x80"), kBad + kBad + kBad + kBad);  // above U+10FFFF
  EXPECT_EQ(valid_utf8("\xf0\x9f\x90\xc3\xbc"), kBad + "\xc3\xbc");
}

TEST(TextTest, WritesOutWhatATerminalWouldObey) {
  EXPECT_EQ(printable("\x1b[2J\x1b]0;owned\x07"), "\\x1b[2J\\x1b]0;owned\\x07");
  EXPECT_EQ(printable("a\tb\r\nc\x7f"), "a\\x09b\\x0d\\x0ac\\x7f");
  EXPECT_EQ(printable("a\0b"s), "a\\x00b");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\u009b31m");                                        // CSI as one character
  EXPECT_EQ(printable("\xe2\x80\xaeosi.exe"), "\\u202eosi.exe");  // right-to-left override
  EXPECT_EQ(printable("ad\xe2\x80\x8bmin"), "ad\\u200bmin");      // zero width space
  EXPECT_EQ(printable("\x9b\xe6\x97"), "\\x9b\\xe6\\x97");        // malformed
  EXPECT_EQ(printable("m\xc3\xbcller<int>"), "m\xc3\xbcller<int>");
}

TEST(TextTest, CutsToColumnsAndNeverInsideACharacter) {
  EXPECT_EQ(cut_to("abcdef", 6), "abcdef");
  EXPECT_EQ(cut_to("abcdefg", 6), "abc...");
  EXPECT_EQ(cut_to("m\xc3\xbcller", 6), "m\xc3\xbcller");
  EXPECT_EQ(cut_to("\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", 5), "\xe6\x97\xa5...");
  EXPECT_EQ(cut_to("abcdef", 2), "..");
  EXPECT_EQ(cut_to("abcdef", 0), "");
}

TEST(TextTest, KeepsItsPromisesForAnyBytes) {
  std::mt19937 random(20);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes(random() % 24, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    const std::string valid = valid_utf8(bytes);
    EXPECT_EQ(valid_utf8(valid), valid);
    const std::string shown = printable(bytes);
    EXPECT_EQ(printable(shown), shown);
    EXPECT_EQ(valid_utf8(shown), shown);
    for (const char byte : shown) EXPECT_FALSE(static_cast<unsigned char>(byte) < 0x20 || byte == 0x7f);
    const std::size_t columns = random() % 24;
    EXPECT_LE(columns_of(cut_to(bytes, columns)), columns);
  }
}

TEST(TextTest, FindsTheLastPartOfAPath) {
  EXPECT_EQ(base_name("/usr/lib/libc.so.6"), "libc.so.6");
  EXPECT_EQ(base_name("server"), "server");
  EXPECT_EQ(base_name("/usr/"), "");
}

}  // namespace
}  // namespace tracer::report
