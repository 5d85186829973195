// SPDX-License-Identifier: Apache-2.0
#include "tracing/own_allocator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tracer::tracing {
namespace {

Function parsed(std::string_view text) {
  Result<Function> function = parse_allocator(text);
  EXPECT_TRUE(function.ok()) << (function ? "" : function.error().message());
  return function ? *function : Function{};
}

std::string refusal(std::string_view text) {
  Result<Function> function = parse_allocator(text);
  return function ? "none" : function.error().message();
}

TEST(OwnAllocatorTest, ReadsAnAllocationAndAFree) {
  const Function get = parsed("libpool.so:pool_get(size=1)->ptr");
  EXPECT_EQ(get.file, "libpool.so");
  EXPECT_EQ(get.name, "pool_get");
  EXPECT_EQ(get.call, TR_CALL_ALLOC);
  EXPECT_EQ(get.size_arg, 1);
  EXPECT_TRUE(get.may_throw);
  EXPECT_TRUE(get.ends_at_exits());
  const Function put = parsed("libpool.so:pool_put(ptr=2)");
  EXPECT_EQ(put.call, TR_CALL_FREE);
  EXPECT_EQ(put.pointer_arg, 2);
}

TEST(OwnAllocatorTest, ReadsTheOtherKinds) {
  const Function table = parsed(" table_new ( size = 3 , count=2 ) ->ptr noexcept ");
  EXPECT_EQ(table.name, "table_new");
  EXPECT_EQ(table.file, "");
  EXPECT_EQ(table.count_arg, 2);
  EXPECT_TRUE(table.needs_return());
  EXPECT_EQ(parsed("grow(ptr=1,size=4)->ptr").call, TR_CALL_REALLOC);
  const Function take = parsed("take(out=1, size=2)");
  EXPECT_EQ(take.call, TR_CALL_ALLOC_OUT);
  EXPECT_EQ(take.pointer_arg, 1);
  EXPECT_EQ(parsed("/opt/a:b/lib*.so:_ZN4Pool3getEm(size=2)->ptr").file, "/opt/a:b/lib*.so");
}

TEST(OwnAllocatorTest, SaysWhatItDoesNotUnderstand) {
  const std::vector<std::pair<const char*, const char*>> cases{
      {"", "no arguments in parentheses"},
      {"pool_get", "no arguments in parentheses"},
      {"pool_get)(", "no arguments in parentheses"},
      {"(size=1)->ptr", "no function name"},
      {"lib.so:(size=1)->ptr", "no function name"},
      {":get(size=1)->ptr", "no file in front of the colon"},
      {"get(size=0)->ptr", "the number of an argument is 1 to 4"},
      {"get(size=5)->ptr", "the number of an argument is 1 to 4"},
      {"get(size)->ptr", "the number of an argument is 1 to 4"},
      {"get(bytes=1)->ptr", "an argument is size, count, ptr or out"},
      {"get(size=1,)->ptr x", "neither '->ptr' nor 'noexcept'"},
      {"get(size=1, size=2)->ptr", "size is there twice"},
      {"get(size=1)", "neither an allocation"},
      {"get(ptr=1,size=2)", "neither an allocation"},
      {"get()->ptr", "an allocation needs a size"},
      {"get(count=1)->ptr", "a count without a size"},
      {"get(out=1)", "an allocation needs a size"},
      {"get(out=1,size=2)->ptr", "out goes with neither"},
      {"get(out=1,ptr=3,size=2)", "out goes with neither"},
      {"get(size=1)->block", "neither '->ptr' nor 'noexcept'"},
  };
  for (const auto& [text, why] : cases) EXPECT_THAT(refusal(text), testing::HasSubstr(why)) << text;
}

TEST(OwnAllocatorTest, ReadsLinesAndTellsWhichOneIsWrong) {
  const Result<std::vector<Function>> functions =
      parse_allocators("pool.txt", "# a pool\n\nget(size=1)->ptr # comment\r\n  put(ptr=1)");
  ASSERT_TRUE(functions.ok());
  ASSERT_EQ(functions->size(), 2U);
  EXPECT_EQ((*functions)[1].name, "put");
  const Result<std::vector<Function>> wrong = parse_allocators("pool.txt", "get(size=1)->ptr\nput\n");
  ASSERT_FALSE(wrong.ok());
  EXPECT_THAT(wrong.error().message(), testing::HasSubstr("pool.txt:2"));
}

}  // namespace
}  // namespace tracer::tracing
