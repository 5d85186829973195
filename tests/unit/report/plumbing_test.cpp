// SPDX-License-Identifier: Apache-2.0
#include "report/plumbing.h"

#include <gtest/gtest.h>

namespace tracer::report {
namespace {

TEST(PlumbingTest, FindsTheBareName) {
  EXPECT_EQ(bare_name("main"), "main");
  EXPECT_EQ(bare_name("inner(unsigned long)"), "inner");
  EXPECT_EQ(bare_name("void std::vector<int, std::allocator<int> >::_M_realloc_insert<int const&>(int*, int const&)"),
            "std::vector::_M_realloc_insert");
  EXPECT_EQ(bare_name("operator new(unsigned long)"), "operator new");
  EXPECT_EQ(bare_name("operator new[](unsigned long, std::nothrow_t const&)"), "operator new[]");
  EXPECT_EQ(bare_name("app::Cache<int>::operator()(int) const"), "app::Cache::operator()");
  EXPECT_EQ(bare_name("std::ostream& operator<< <char>(std::ostream&, char)"), "operator<< <char>");
  EXPECT_EQ(bare_name("app::operators(int)"), "app::operators");
  EXPECT_EQ(bare_name("(anonymous namespace)::leak(int)"), "(anonymousnamespace)::leak");
  EXPECT_EQ(bare_name("app::run()::{lambda(int)#1}::operator()(int) const"), "app::run");
  EXPECT_EQ(bare_name("<alloc::vec::Vec<T> as core::clone::Clone>::clone"), "alloc::vec::Vec");
  EXPECT_EQ(bare_name(""), "");
  EXPECT_EQ(bare_name("<<<>>>>(("), "");
}

TEST(PlumbingTest, KnowsWhatStandsBetweenCodeAndItsAllocator) {
  for (const char* name :
       {"operator new(unsigned long)", "std::__new_allocator<int>::allocate(unsigned long, void const*)",
        "void std::vector<int, std::allocator<int> >::_M_realloc_insert<int>(int&&)",
        "__gnu_cxx::new_allocator<char>::allocate(unsigned long)", "alloc::raw_vec::RawVec<T,A>::reserve",
        "<alloc::alloc::Global as core::alloc::Allocator>::allocate", "__rust_alloc"}) {
    EXPECT_TRUE(is_allocator_plumbing(name)) << name;
  }
  for (const char* name : {"main", "app::std::f()", "stdlib_wrapper", "operator_new(int)", "app::alloc::f(int)",
                           "[libfoo.so+0x10]", "std_vector()", "newer::Thing::allocate(std::vector<int>)"}) {
    EXPECT_FALSE(is_allocator_plumbing(name)) << name;
  }
}

TEST(PlumbingTest, KnowsInlinedFunctionsOfStandardLibrariesByTheirFile) {
  EXPECT_TRUE(is_allocator_plumbing("operator[]", "/usr/include/c++/12/bits/unordered_map.h"));
  EXPECT_TRUE(is_allocator_plumbing("allocate", "/usr/lib/llvm-14/include/c++/v1/memory"));
  EXPECT_TRUE(is_allocator_plumbing("reserve", "/rustc/abc/library/alloc/src/raw_vec.rs"));
  EXPECT_TRUE(is_start_plumbing("_M_run", "/usr/include/c++/12/bits/std_thread.h"));
  EXPECT_FALSE(is_allocator_plumbing("operator[]", "/src/app/include/map.h"));
}

TEST(PlumbingTest, KnowsWhatStandsBelowEveryThread) {
  for (const char* name :
       {"_start", "__libc_start_main_impl", "__libc_start_call_main", "start_thread", "clone3",
        "std::thread::_State_impl<std::thread::_Invoker<std::tuple<main::{lambda()#1}> > >::_M_run()",
        "std::rt::lang_start"}) {
    EXPECT_TRUE(is_start_plumbing(name)) << name;
  }
  for (const char* name : {"main", "restart_thread", "_start_service", "app::main()"})
    EXPECT_FALSE(is_start_plumbing(name)) << name;
}

}  // namespace
}  // namespace tracer::report
