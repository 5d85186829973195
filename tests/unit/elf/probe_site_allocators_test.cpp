// SPDX-License-Identifier: Apache-2.0
#include "probe_site_cases.h"

// The code is that of Debian 12's packages, as objdump shows it.

namespace tracer::elf {
namespace {

TEST(ProbeSiteAllocatorsTest, FindsTheSitesOfGlibc236) {
  expect_sites({
      // push %r12; push %rbp; push %rbx; mov %rdi,%rbx; sub $0x10,%rsp; cmpb $0,…; je
      {"malloc", "41 54 55 53 48 89 fb 48 83 ec 10 80 3d 46 1b 14 00 00 0f 84 f8 01 00 00", emulated_at(0)},
      // test %rdi,%rdi; je; push %rbp; lea -0x10(%rdi),%rsi
      {"free", "48 85 ff 0f 84 bf 00 00 00 55 48 8d 77 f0 53 48 83 ec 18", emulated_at(3)},
      {"calloc", "41 55 48 89 f8 41 54 55 53 48 83 ec 18 48 f7 e6", emulated_at(0)},
      {"realloc", "41 57 41 56 41 55 41 54 55 48 89 f5 53 48 89 fb", emulated_at(0)},
      // cmpb $0,…; push %r12; mov %rdx,%r12
      {"posix_memalign", "80 3d 01 02 14 00 00 41 54 49 89 d4 55 48 89 fd 53 48 89 f3 74 5a", emulated_at(7)},
      // All of it. cmpb $0,…; je +7; jmp _mid_memalign; …
      {"memalign",
       "80 3d 71 0e 14 00 00 74 07 e9 32 f6 ff ff 66 90 48 83 ec 18 48 89 74 24 08 48 89 3c 24 e8 be bc ff ff 48 8b 74 "
       "24 08 48 8b 3c 24 48 83 c4 18 e9 0c f6 ff ff",
       emulated_at(7)},
      // cmpb $0,…; push %rbx
      {"valloc", "80 3d 31 0e 14 00 00 53 48 89 fb 74 1b", emulated_at(7)},
      // mov %rsi,%rax; mul %rdx, which overwrites an argument
      {"reallocarray", "48 89 f0 48 f7 e2 48 89 c6 70 05 e9 40 b8 f8 ff", kEntry},
      // mov %ecx,%r10d; test $0xfff,%r9d; jne
      {"mmap", "41 89 ca 41 f7 c1 ff 0f 00 00 75 14 b8 09 00 00 00 0f 05", emulated_at(10)},
      // mov $11,%eax; syscall; …; jae
      {"munmap", "b8 0b 00 00 00 0f 05 48 3d 01 f0 ff ff 73 01 c3", kEntry},
      {"_dl_debug_state", "c3", kEntry},
  });
}

TEST(ProbeSiteAllocatorsTest, FindsTheSitesOfMusl123) {
  expect_sites({
      {"malloc", "e9 6b 19 00 00", emulated_at(0)},
      {"free", "e9 bb 0a 00 00", emulated_at(0)},
      {"calloc", "41 54 49 89 f4 55 53 48 85 f6 74 0c", emulated_at(0)},
      {"aligned_alloc", "55 48 89 f8 53 48 f7 d8 48 21 f8", emulated_at(0)},
      // mov %rdi,%rsi overwrites an argument.
      {"valloc", "48 89 fe bf 00 10 00 00 e9 a3 49 ff ff", kEntry},
      // mov %rdx,%rcx; test %rdx,%rdx; je
      {"reallocarray", "48 89 d1 48 85 d2 74 08 48 89 f0 48 f7 e1 70 09", emulated_at(6)},
      {"posix_memalign", "53 b8 16 00 00 00 48 89 fb 48 89 f7", emulated_at(0)},
  });
}

TEST(ProbeSiteAllocatorsTest, FindsTheSitesOfJemalloc530) {
  expect_sites({
      // cmp $0x1000,%rdi; ja
      {"malloc", "48 81 ff 00 10 00 00 0f 87 93 00 00 00 48 8d 15 5c 7f 2c 00", emulated_at(7)},
      // mov %rdi,%rax; mov …,%rdx
      {"free", "48 89 f8 48 8b 15 0e 53 0a 00 48 89 f9 48 c1 e8 1a", kEntry},
      {"realloc", "41 57 41 56 41 55 41 54 55 48 89 fd 53 48 89 f3", emulated_at(0)},
      {"operator delete", "e9 eb af f5 ff", emulated_at(0)},
  });
}

TEST(ProbeSiteAllocatorsTest, FindsTheSitesOfTcmalloc210) {
  expect_sites({
      // mov …,%rax; test %rax,%rax; jne
      {"malloc", "48 8b 05 59 ab 00 00 48 85 c0 75 75 48 8b 05 05 a1 00 00", emulated_at(10)},
      {"free", "48 8b 05 59 b1 1b 00 48 85 c0 0f 85 90 00 00 00 48 89 fa", emulated_at(10)},
      // mov %rdi,%r8; cmp $0x2000,%rdi; ja
      {"aligned_alloc", "49 89 f8 48 81 ff 00 20 00 00 0f 87 e8 00 00 00", emulated_at(10)},
      // lea -1(%rsi),%rax; or $7,%rax; test %rsi,%rax; jne
      {"posix_memalign", "48 8d 46 ff 48 83 c8 07 48 85 f0 75 2b 53", emulated_at(11)},
  });
}

TEST(ProbeSiteAllocatorsTest, FindsTheSitesOfMimalloc209) {
  expect_sites({
      // mov …,%rax; mov %rdi,%rsi
      {"malloc", "48 8b 05 49 b4 00 00 48 89 fe 64 48 8b 38 48 81 fe 00 04 00 00 77 29", kEntry},
      // mov %rdi,%rcx; test %rdi,%rdi; je
      {"free", "48 89 f9 48 85 ff 74 5d 48 8d 7f ff", emulated_at(6)},
      {"posix_memalign", "e9 6b 5c ff ff", emulated_at(0)},
      {"operator new", "55 53 48 89 fb 48 83 ec 08", emulated_at(0)},
  });
}

TEST(ProbeSiteAllocatorsTest, SkipsEndbr64) {
  expect_sites({
      {"malloc of glibc with -fcf-protection", "f3 0f 1e fa 41 54 55 53 48 89 fb", emulated_at(4)},
      {"free of glibc with -fcf-protection", "f3 0f 1e fa 48 85 ff 0f 84 bf 00 00 00 55", emulated_at(7)},
      {"operator delete of libstdc++ 12", "f3 0f 1e fa e9 87 2f ff ff", emulated_at(4)},
      {"operator new of libstdc++ 12", "f3 0f 1e fa 48 85 ff b8 01 00 00 00 53 48 0f 45 c7", emulated_at(12)},
      {"_dl_debug_state with -fcf-protection", "f3 0f 1e fa c3", kEntry},
  });
}

}  // namespace
}  // namespace tracer::elf
