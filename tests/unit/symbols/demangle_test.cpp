// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>

#include "symbols/symbolizer.h"

namespace tracer::symbols {
namespace {

TEST(DemangleTest, ReadsCppNames) {
  EXPECT_EQ(demangle("_Znwm"), "operator new(unsigned long)");
  EXPECT_EQ(demangle("_ZNSt6vectorIiSaIiEE17_M_realloc_insertIJiEEEvN9__gnu_cxx17__normal_iteratorIPiS1_EEDpOT_"),
            "void std::vector<int, std::allocator<int> >::_M_realloc_insert<int>(__gnu_cxx::__normal_iterator<int*, "
            "std::vector<int, std::allocator<int> > >, int&&)");
  EXPECT_EQ(demangle("_ZN3FooC4Ev"), "Foo::Foo()");
}

TEST(DemangleTest, TellsPiecesOfCppFunctions) { EXPECT_EQ(demangle("_Z3foov.cold"), "foo() [clone .cold]"); }

TEST(DemangleTest, ReadsLegacyRustNamesWithoutTheirHash) {
  EXPECT_EQ(demangle("_ZN4core3ptr13drop_in_place17h0123456789abcdefE"), "core::ptr::drop_in_place");
  EXPECT_EQ(demangle("_ZN63_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..clone..Clone$GT$5clone17h0123456789abcdefE"),
            "<alloc::vec::Vec<T> as core::clone::Clone>::clone");
}

TEST(DemangleTest, ReadsRustV0Names) {
  EXPECT_EQ(demangle("_RNvC7mycrate4main"), "mycrate::main");
  EXPECT_EQ(demangle("_RNvCs1234_7mycrate3foo"), "mycrate::foo");
  EXPECT_EQ(demangle("_RINvNtC3std3mem8align_ofdE"), "std::mem::align_of::<f64>");
}

TEST(DemangleTest, ReadsDNames) {
  EXPECT_EQ(demangle("_D8demangle4testFaZv"), "demangle.test(char)");
  EXPECT_EQ(demangle("_D3std5stdio4File5closeMFNeZv"), "std.stdio.File.close()");
}

// Back references to back references, each twice.
TEST(DemangleTest, LeavesDNamesAloneThatCouldFillTheMemory) {
  std::string name = "_D8demangle4testF";
  for (int i = 0; i < 40; ++i) name += "S3abcQe";
  name += "Zv";
  EXPECT_EQ(demangle(name), name);
  EXPECT_EQ(demangle("_D3" + std::string(4000, 'a')), "_D3" + std::string(4000, 'a'));
}

TEST(DemangleTest, LeavesOtherNamesAlone) {
  for (const char* name : {"", "malloc", "_ZN", "_R", "_Z", "__libc_malloc", "a__b__C", "_init", "_D3std"}) {
    EXPECT_EQ(demangle(name), name);
  }
}

// f(pair<int,int> =: p0, pair<p0,p0> =: p1, pair<p1,p1>, …): each parameter is twice as long as the one before.
TEST(DemangleTest, LeavesNamesAloneThatWouldFillTheMemory) {
  const std::string digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  std::string name = "_Z1fSt4pairIiiE";
  std::string shorter;
  for (char digit : digits) {
    const std::string last = std::string("S") + digit + "_";
    name += "S_I" + last + last + "E";
    if (digit == '4') shorter = name;
  }
  EXPECT_EQ(demangle(name), name);
  EXPECT_TRUE(demangle(shorter).starts_with("f(std::pair<int, int>, std::pair<std::pair<int, int>, "));
}

}  // namespace
}  // namespace tracer::symbols
