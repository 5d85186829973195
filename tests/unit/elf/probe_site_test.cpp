// SPDX-License-Identifier: Apache-2.0
#include "elf/probe_site.h"

#include <random>

#include "probe_site_cases.h"

namespace tracer::elf {
namespace {

TEST(ProbeSiteTest, TakesEveryInstructionThatTheKernelEmulates) {
  for (int opcode = 0x50; opcode <= 0x57; ++opcode) {
    const auto byte = static_cast<std::uint8_t>(opcode);
    EXPECT_EQ(select_probe_site(std::vector<std::uint8_t>{byte}), emulated_at(0)) << opcode;
    EXPECT_EQ(select_probe_site(std::vector<std::uint8_t>{0x41, byte}), emulated_at(0)) << opcode;
  }
  for (int condition = 0; condition < 16; ++condition) {
    const auto near = static_cast<std::uint8_t>(0x70 + condition);
    const auto far = static_cast<std::uint8_t>(0x80 + condition);
    EXPECT_EQ(select_probe_site(std::vector<std::uint8_t>{near, 0x10}), emulated_at(0)) << condition;
    EXPECT_EQ(select_probe_site(std::vector<std::uint8_t>{0x0f, far, 0x10, 0, 0, 0}), emulated_at(0)) << condition;
  }
  expect_sites({{"nop", "90 c3", emulated_at(0)},
                {"jmp rel8", "eb 10", emulated_at(0)},
                {"jmp rel32", "e9 10 00 00 00", emulated_at(0)},
                {"call rel32", "e8 10 00 00 00", emulated_at(0)}});
}

TEST(ProbeSiteTest, RefusesEncodingsThatSomeKernelsSingleStepOrRefuse) {
  expect_sites({
      {"push %bp", "66 55 c3", kEntry},
      {"push %rbp with a needless rex prefix", "48 55 c3", kEntry},
      {"push %rbp with an empty rex prefix", "40 55 c3", kEntry},
      {"push %r12 with rex.WB", "49 54 c3", kEntry},
      {"rep push %rbp", "f3 55 c3", kEntry},
      {"push $1", "6a 01 c3", kEntry},
      {"push 8(%rdi)", "ff 77 08 c3", kEntry},
      {"pushf", "9c c3", kEntry},
      {"je with a branch hint", "3e 74 10", kEntry},
      {"je with an operand size prefix", "66 74 10", kEntry},
      {"bnd jmp", "f2 e9 10 00 00 00", kEntry},
      {"lock push", "f0 55", kEntry},
      {"jmp *%rax", "ff e0", kEntry},
      {"call *%rax", "ff d0", kEntry},
      {"jrcxz", "e3 10", kEntry},
      {"loop", "e2 10", kEntry},
  });
}

TEST(ProbeSiteTest, PassesOverNopsThatNotEveryKernelEmulates) {
  expect_sites({
      {"66 nop; push", "66 90 55 c3", emulated_at(2)},
      {"nopl; push", "0f 1f 44 00 00 55 c3", emulated_at(5)},
      // xchg %eax,%r8d: some kernels take it for a nop with a prefix.
      {"xchg %eax,%r8d; push", "41 90 55 c3", emulated_at(2)},
  });
}

TEST(ProbeSiteTest, DoesNotPassOverWritesToArguments) {
  expect_sites({
      {"mov $1,%edi", "bf 01 00 00 00 55", kEntry},
      {"mov $1,%dil", "40 b7 01 55", kEntry},
      {"mov $1,%dl", "b2 01 55", kEntry},
      {"mov $1,%dh", "b6 01 55", kEntry},
      {"mov $1,%si", "66 be 01 00 55", kEntry},
      {"xor %edx,%edx", "31 d2 55", kEntry},
      {"xchg %rax,%rdi", "48 97 55", kEntry},
      {"xchg %rdi,%rax, the other way round", "48 87 c7 55", kEntry},
      {"pop %rax, which writes rsp", "58 55", kEntry},
      {"sub $8,%rsp", "48 83 ec 08 55", kEntry},
      {"leave", "c9 55", kEntry},
      {"mov %rsp,%rbp, from which stacks are walked", "48 89 e5 55", kEntry},
      {"mul %rsi, which writes rdx", "48 f7 e6 55", kEntry},
      {"cqo, which writes rdx", "48 99 55", kEntry},
      {"cmove %rax,%rdi, which may write it", "48 0f 44 f8 55", kEntry},
      {"shl %cl,%rdi", "48 d3 e7 55", kEntry},
      {"sete %dl", "0f 94 c2 55", kEntry},
      {"inc %rsi", "48 ff c6 55", kEntry},
      {"lea 8(%rdi),%rdx", "48 8d 57 08 55", kEntry},
      {"bsf %rax,%rdx", "48 0f bc d0 55", kEntry},
      {"cmpxchg %rcx,%rdi", "48 0f b1 cf 55", kEntry},
      {"xadd %rax,%rdi", "48 0f c1 c7 55", kEntry},
      {"rdtsc", "0f 31 55", kEntry},
      {"cpuid", "0f a2 55", kEntry},
      {"lodsb, which writes rsi", "ac 55", kEntry},
  });
}

TEST(ProbeSiteTest, PassesOverWritesToOtherRegisters) {
  expect_sites({
      {"mov %rdi,%rax", "48 89 f8 55", emulated_at(3)},
      {"xor %eax,%eax", "31 c0 55", emulated_at(2)},
      {"mov %ecx,%r10d", "41 89 ca 55", emulated_at(3)},
      // No function that is probed has a fourth argument.
      {"lea 8(%rdi),%rcx", "48 8d 4f 08 55", emulated_at(4)},
      {"inc %r8", "49 ff c0 55", emulated_at(3)},
      {"mov $1,%r9b", "41 b1 01 55", emulated_at(3)},
      {"cmovne %rdi,%rax", "48 0f 45 c7 55", emulated_at(4)},
      {"sete %al", "0f 94 c0 55", emulated_at(3)},
      {"bt $3,%rdi", "48 0f ba e7 03 55", emulated_at(5)},
      {"movzbl (%rdi),%eax", "0f b6 07 55", emulated_at(3)},
      {"mov %fs:0x28,%rax", "64 48 8b 04 25 28 00 00 00 55", emulated_at(9)},
  });
}

TEST(ProbeSiteTest, DoesNotPassOverWritesToMemory) {
  expect_sites({
      {"mov %rdi,(%rax)", "48 89 38 55", kEntry},
      {"mov %rdi,-8(%rsp)", "48 89 7c 24 f8 55", kEntry},
      {"movb $1,…(%rip)", "c6 05 00 10 00 00 01 55", kEntry},
      {"lock incq …(%rip)", "f0 48 ff 05 00 10 00 00 55", kEntry},
      {"orq $0,(%rsp)", "48 83 0c 24 00 55", kEntry},
      {"cmpxchg %rcx,(%rax)", "48 0f b1 08 55", kEntry},
      {"rep stos", "f3 48 ab 55", kEntry},
      {"movups %xmm0,(%rax)", "0f 11 00 55", kEntry},
      {"pop (%rax)", "8f 00 55", kEntry},
      {"xsave (%rax)", "0f ae 20 55", kEntry},
  });
}

TEST(ProbeSiteTest, DoesNotPassOverWhatLeavesTheFunction) {
  expect_sites({
      {"ret", "c3 55", kEntry},
      {"ret $8", "c2 08 00 55", kEntry},
      {"syscall", "0f 05 55", kEntry},
      {"sysenter", "0f 34 55", kEntry},
      {"int $0x80", "cd 80 55", kEntry},
      {"int3", "cc 55", kEntry},
      {"ud2", "0f 0b 55", kEntry},
      {"hlt", "f4 55", kEntry},
      {"jmp *…(%rip)", "ff 25 00 10 00 00 55", kEntry},
      {"call *…(%rip)", "ff 15 00 10 00 00 55", kEntry},
      {"jrcxz", "e3 10 55", kEntry},
      {"xbegin", "c7 f8 10 00 00 00 55", kEntry},
  });
}

TEST(ProbeSiteTest, RefusesASiteThatALoopComesBackTo) {
  // test %rdi,%rdi; push %rbx; …; jmp or jcc or call back to the push
  EXPECT_EQ(site_of("48 85 ff 53 31 c0 eb fb"), kEntry);
  EXPECT_EQ(site_of("48 85 ff 53 31 c0 75 fb c3"), kEntry);
  EXPECT_EQ(site_of("48 85 ff 53 31 c0 0f 85 f7 ff ff ff c3"), kEntry);
  EXPECT_EQ(site_of("48 85 ff 53 31 c0 e9 f8 ff ff ff"), kEntry);
  EXPECT_EQ(site_of("48 85 ff 53 31 c0 e8 f8 ff ff ff c3"), kEntry);
  EXPECT_EQ(site_of("48 85 ff 53 31 c0 e2 fb c3"), kEntry) << "loop";
}

TEST(ProbeSiteTest, RefusesASiteThatALoopRunsInto) {
  // mov %rdi,%rax; again: dec %rax; jne done; jmp again. The site would be the jne, passed on every round.
  EXPECT_EQ(site_of("48 89 f8 48 ff c8 75 02 eb f9 c3"), kEntry);
  // A conditional jump back to what is before it is itself the site.
  EXPECT_EQ(site_of("48 89 f8 48 ff c8 75 fb c3"), kEntry);
}

TEST(ProbeSiteTest, RefusesASiteThatAJumpIntoAnInstructionReaches) {
  // The jump leads to the second byte of the test in front of the push.
  EXPECT_EQ(site_of("48 85 ff 53 31 c0 eb f9"), kEntry);
}

TEST(ProbeSiteTest, AcceptsASiteBesideJumpsThatLeadElsewhere) {
  EXPECT_EQ(site_of("48 85 ff 53 31 c0 75 fc c3"), emulated_at(3)) << "behind the push";
  EXPECT_EQ(site_of("48 85 ff 53 31 c0 eb f0"), emulated_at(3)) << "before the function";
  EXPECT_EQ(site_of("48 85 ff 53 31 c0 eb 40"), emulated_at(3)) << "behind the function";
}

TEST(ProbeSiteTest, CountsAJumpToTheEntryAsANewCallWhereverTheSiteIs) {
  // A tail call to itself passes the entry and the site alike.
  EXPECT_EQ(site_of("48 85 ff 53 5b 75 f9 c3"), emulated_at(3));
  EXPECT_EQ(site_of("53 5b 75 fc c3"), emulated_at(0));
}

TEST(ProbeSiteTest, DoesNotLookPastASiteThatItRefused) {
  // nop at 3 is jumped to; the push at 4 is passed as often.
  EXPECT_EQ(site_of("48 85 ff 90 53 31 c0 75 fa c3"), kEntry);
}

TEST(ProbeSiteTest, RefusesALaterSiteWhenTheRestOfTheFunctionCannotBeRead) {
  // 06 is no instruction in 64-bit mode: jumps behind it would not be seen.
  EXPECT_EQ(site_of("48 85 ff 53 5b c3 06 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90"), kEntry);
  EXPECT_EQ(site_of("48 85 ff 53 5b c3 06"), kEntry) << "the end does not excuse it";
  EXPECT_EQ(site_of("53 5b c3 06"), emulated_at(0)) << "the entry needs no rest";
}

TEST(ProbeSiteTest, AcceptsCodeWhoseLastInstructionIsCutOff) {
  EXPECT_EQ(site_of("48 85 ff 53 48 83 ec"), emulated_at(3));
  EXPECT_EQ(site_of("48 85 ff 0f 84 bf 00"), kEntry) << "the site itself is cut off";
  EXPECT_EQ(site_of("41"), kEntry);
  EXPECT_EQ(site_of("48 81"), kEntry);
}

TEST(ProbeSiteTest, FallsBackToTheEntryWithoutCode) { EXPECT_EQ(select_probe_site({}), kEntry); }

TEST(ProbeSiteTest, GivesUpAfterAFewInstructions) {
  std::string code;
  for (int i = 0; i < 15; ++i) code += "31 c0 ";
  EXPECT_EQ(site_of(code + "55"), emulated_at(30));
  EXPECT_EQ(site_of(code + "31 c0 55"), kEntry);
}

TEST(ProbeSiteTest, StaysInsideGarbage) {
  std::mt19937 random(20241);
  std::uniform_int_distribution<int> any_byte(0, 255);
  std::uniform_int_distribution<std::size_t> any_size(0, 40);
  int later_sites = 0;
  for (int round = 0; round < 100'000; ++round) {
    std::vector<std::uint8_t> code(any_size(random));
    for (std::uint8_t& byte : code) byte = static_cast<std::uint8_t>(any_byte(random));
    const ProbeSite site = select_probe_site(code);
    if (site.emulated) {
      ASSERT_LT(site.offset, code.size());
      const std::uint8_t opcode = code[site.offset];
      const bool has_an_emulated_start = opcode == 0x90 || (opcode >= 0x50 && opcode <= 0x57) || opcode == 0x41 ||
                                         opcode == 0x0f || opcode == 0xe8 || opcode == 0xe9 || opcode == 0xeb ||
                                         (opcode >= 0x70 && opcode <= 0x7f);
      ASSERT_TRUE(has_an_emulated_start) << static_cast<int>(opcode);
      if (site.offset > 0) ++later_sites;
    } else {
      ASSERT_EQ(site.offset, 0U);
    }
  }
  EXPECT_GT(later_sites, 100) << "the input never gets past the entry";
}

}  // namespace
}  // namespace tracer::elf
