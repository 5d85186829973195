// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace tracer::report {

/// The qualified name in a demangled function: no return type, no arguments, no template arguments.
/// "void std::vector<int>::_M_realloc_insert<int>(int&&)" → "std::vector::_M_realloc_insert".
std::string bare_name(std::string_view function);

/// Whether a function stands between code that wants memory and the allocator: `operator new`, containers of the
/// standard library, Rust's `alloc`. `file`: where it is written; inlined functions of the C++ library have no other
/// sign of whose they are.
bool is_allocator_plumbing(std::string_view function, std::string_view file = {});

/// Whether a function stands below every thread: `_start`, `__libc_start_main`, what runs a std::thread.
bool is_start_plumbing(std::string_view function, std::string_view file = {});

}  // namespace tracer::report
