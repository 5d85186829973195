// SPDX-License-Identifier: Apache-2.0
#include "symbols/symbol_table.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <memory>

#include "program.h"
#include "symbols/elf_file.h"

namespace tracer::symbols {
namespace {

// Offsets of what follows in .text are in the comments.
constexpr const char* kAssembler = R"(
  .text
  .globl _start, alias, __alias, weak_name
  .weak weak_name
unsized_first:            # 0
  .skip 16, 0x90
  .type sized, @function
sized:                    # 16
local_twin:
  .skip 8, 0x90
label_inside:             # 24
  .skip 8, 0x90
  .size sized, . - sized
  .skip 16, 0x90          # 32: nothing
  .type alias, @function
  .type __alias, @function
  .type static_alias, @function
  .type a, @function
alias:                    # 48
__alias:
static_alias:
a:
  .skip 16, 0x90
  .size alias, 16
  .size __alias, 16
  .size static_alias, 16
  .size a, 16
  .type weak_name, @function
  .type __strong_name, @function
  .globl __strong_name
weak_name:                # 64
__strong_name:
  .skip 16, 0x90
  .size weak_name, 16
  .size __strong_name, 16
  .type _start, @function
_start:                   # 80
  .skip 16, 0x90
  .data
  .globl number
number: .quad 1
)";

class SymbolTableTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    TempDirectory directory;
    write_file(directory / "table.s", kAssembler);
    run("cd " + directory.path() + " && as table.s -o table.o && ld -Ttext=0x400000 -Tdata=0x600000 table.o -o table");
    auto file = ElfFile::open(UniqueFd(open((directory / "table").c_str(), O_RDONLY)), ElfFile::Access::kRead);
    ASSERT_TRUE(file.ok());
    file_ = new ElfFile(std::move(file).value());
    table_ = new SymbolTable;
    table_->add(file_->handle());
    table_->seal();
  }
  static void TearDownTestSuite() {
    delete table_;
    delete file_;
  }
  static std::string name_at(std::uint64_t offset) { return std::string(table_->name_at(0x400000 + offset)); }

  static ElfFile* file_;
  static SymbolTable* table_;
};
ElfFile* SymbolTableTest::file_ = nullptr;
SymbolTable* SymbolTableTest::table_ = nullptr;

TEST_F(SymbolTableTest, LetsASymbolWithoutASizeReachToTheNext) {
  EXPECT_EQ(name_at(0), "unsized_first");
  EXPECT_EQ(name_at(15), "unsized_first");
}

TEST_F(SymbolTableTest, PrefersASizedFunctionToALabelInIt) {
  EXPECT_EQ(name_at(16), "sized");
  EXPECT_EQ(name_at(23), "sized");
  EXPECT_EQ(name_at(24), "sized");
  EXPECT_EQ(name_at(31), "sized");
}

TEST_F(SymbolTableTest, PrefersGlobalNamesWithoutUnderscores) {
  EXPECT_EQ(name_at(48), "alias");
  EXPECT_EQ(name_at(63), "alias");
  EXPECT_EQ(name_at(64), "weak_name");
}

TEST_F(SymbolTableTest, EndsAnUnsizedSymbolWithItsSection) {
  EXPECT_EQ(name_at(80), "_start");
  EXPECT_EQ(name_at(95), "_start");
  EXPECT_EQ(name_at(96), "");
}

TEST_F(SymbolTableTest, KnowsNoDataAndNothingOutside) {
  EXPECT_EQ(table_->name_at(0x600000), "");
  EXPECT_EQ(table_->name_at(0x3fffff), "");
  EXPECT_EQ(table_->name_at(0), "");
  EXPECT_EQ(table_->name_at(UINT64_MAX), "");
}

TEST(EmptySymbolTableTest, KnowsNothing) {
  SymbolTable table;
  table.seal();
  EXPECT_EQ(table.name_at(0x400000), "");
}

}  // namespace
}  // namespace tracer::symbols
