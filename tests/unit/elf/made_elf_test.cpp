// SPDX-License-Identifier: Apache-2.0
#include "made_elf.h"

#include <fcntl.h>

#include <functional>
#include <random>

#include "elf/elf_image.h"

namespace tracer::elf {

bool operator==(const FunctionSymbol& a, const FunctionSymbol& b) {
  return a.name == b.name && a.address == b.address && a.size_bytes == b.size_bytes;
}

void PrintTo(const FunctionSymbol& symbol, std::ostream* out) {
  *out << symbol.name << "@" << std::hex << symbol.address << std::dec << "+" << symbol.size_bytes;
}

namespace {

constexpr std::uint64_t kCode = MadeElf::kCode;
const std::vector<std::string_view> kWanted{"malloc", "free", "calloc"};

Result<ElfImage> read(const std::vector<char>& contents) { return ElfImage::read(file_of(contents).get(), kWanted); }

std::vector<FunctionSymbol> functions_of(const MadeElf& file) {
  const Result<ElfImage> image = read(file.contents());
  return image ? image->functions() : std::vector<FunctionSymbol>{{image.error().message(), 0, 0}};
}

MadeElf with_malloc() {
  MadeElf file;
  file.dynsym = {{.name = "malloc"}};
  file.symtab = {{.name = "malloc@@GLIBC_2.2.5"}};
  return file;
}

TEST(MadeElfTest, AFunctionInBothTablesOccursOnceWithItsSizeAndWithoutItsVersion) {
  MadeElf file;
  file.dynsym = {{.name = "malloc", .size = 0}, {.name = "free", .address = kCode + 32, .size = 16}};
  file.symtab = {{.name = "malloc@@GLIBC_2.2.5", .size = 32},
                 {.name = "free@GLIBC_2.2.5", .address = kCode + 32, .size = 0}};
  EXPECT_EQ(functions_of(file), (std::vector<FunctionSymbol>{{"malloc", kCode, 32}, {"free", kCode + 32, 16}}));
}

TEST(MadeElfTest, FunctionsAreSortedByAddressThenByName) {
  MadeElf file;
  file.dynsym = {{.name = "malloc", .address = kCode + 64},
                 {.name = "malloc", .address = kCode + 16},
                 {.name = "free", .address = kCode + 64},
                 {.name = "calloc"}};
  EXPECT_EQ(
      functions_of(file),
      (std::vector<FunctionSymbol>{
          {"calloc", kCode, 16}, {"malloc", kCode + 16, 16}, {"free", kCode + 64, 16}, {"malloc", kCode + 64, 16}}));
}

TEST(MadeElfTest, LeavesOutWhatIsNoDefinedFunctionInAnExecutableSegment) {
  MadeElf file;
  file.dynsym = {{.name = "malloc", .type = STT_OBJECT},
                 {.name = "malloc", .type = STT_NOTYPE},
                 {.name = "malloc", .type = STT_GNU_IFUNC},
                 {.name = "malloc", .section = SHN_UNDEF},
                 {.name = "malloc", .section = SHN_ABS},
                 {.name = "malloc", .section = SHN_COMMON},
                 {.name = "malloc", .address = 0},
                 {.name = "malloc", .address = MadeElf::kData},
                 {.name = "malloc", .address = kCode - 1},
                 {.name = "malloc", .address = kCode + 0x100},
                 {.name = "malloc", .address = ~std::uint64_t{0}},
                 {.name = "mallocx"},
                 {.name = "xmalloc"},
                 {.name = ""},
                 {.name = "@@GLIBC_2.2.5"}};
  EXPECT_EQ(functions_of(file), std::vector<FunctionSymbol>{});
  file.dynsym.push_back({.name = "malloc", .address = kCode + 0xff});
  EXPECT_EQ(functions_of(file), (std::vector<FunctionSymbol>{{"malloc", kCode + 0xff, 16}}));
}

TEST(MadeElfTest, KeepsNoFunctionsWhenNoneAreWanted) {
  const Result<ElfImage> image = ElfImage::read(file_of(with_malloc().contents()).get(), {});
  ASSERT_TRUE(image.ok());
  EXPECT_TRUE(image->functions().empty());
}

TEST(MadeElfTest, LeavesOutSymbolsWhoseNameIsOutsideOfTheirNames) {
  std::vector<char> file = with_malloc().contents();
  const std::uint64_t table = MadeElf::section(file, MadeElf::kDynsym).sh_offset;
  reinterpret_cast<Elf64_Sym*>(file.data() + table)[1].st_name = 0x7fffffff;
  const Result<ElfImage> image = read(file);
  ASSERT_TRUE(image.ok());
  EXPECT_EQ(image->functions().size(), 1U) << "the one of .symtab";
}

TEST(MadeElfTest, TakesTheBuildIdFromTheSegmentOrElseFromTheSection) {
  MadeElf file;
  EXPECT_EQ(read(file.contents())->build_id(), "0123abff");
  file.has_note_segment = false;
  EXPECT_EQ(read(file.contents())->build_id(), "0123abff");
}

TEST(MadeElfTest, HasNoBuildIdWithoutARightOne) {
  MadeElf file;
  file.note_type = NT_GNU_ABI_TAG;
  EXPECT_EQ(read(file.contents())->build_id(), "");
  file.note_type = NT_GNU_BUILD_ID;
  file.note_owner = "Go";
  EXPECT_EQ(read(file.contents())->build_id(), "");
  file.note_owner = "GNU";
  file.note_contents = std::string(65, 'x');
  EXPECT_EQ(read(file.contents())->build_id(), "") << "longer than any";
  file.note_contents = std::string(64, 'x');
  EXPECT_EQ(read(file.contents())->build_id().size(), 128U);
}

TEST(MadeElfTest, TellsMachinesAndClassesApart) {
  std::vector<char> file = with_malloc().contents();
  EXPECT_EQ(read(file)->machine(), Machine::kX86_64);
  MadeElf::header(file).e_machine = EM_AARCH64;
  EXPECT_EQ(read(file)->machine(), Machine::kArm64);
  MadeElf::header(file).e_machine = EM_RISCV;
  EXPECT_EQ(read(file)->machine(), Machine::kOther);
  EXPECT_TRUE(read(file)->is_64_bit());

  Elf32_Ehdr small{};
  std::memcpy(small.e_ident, ELFMAG, SELFMAG);
  small.e_ident[EI_CLASS] = ELFCLASS32;
  small.e_ident[EI_DATA] = ELFDATA2LSB;
  small.e_ident[EI_VERSION] = EV_CURRENT;
  small.e_machine = EM_386;
  small.e_version = EV_CURRENT;
  small.e_ehsize = sizeof(small);
  const auto* bytes = reinterpret_cast<const char*>(&small);
  const Result<ElfImage> image = read(std::vector<char>(bytes, bytes + sizeof(small)));
  ASSERT_TRUE(image.ok());
  EXPECT_FALSE(image->is_64_bit());
  EXPECT_EQ(image->machine(), Machine::kOther);
}

TEST(MadeElfTest, LeavesTheDescriptorAndItsPositionToTheCaller) {
  const UniqueFd file = file_of(with_malloc().contents());
  ASSERT_EQ(::lseek(file.get(), 123, SEEK_SET), 123);
  ASSERT_TRUE(ElfImage::read(file.get(), kWanted).ok());
  EXPECT_EQ(::lseek(file.get(), 0, SEEK_CUR), 123);
}

TEST(MadeElfTest, HeadersThatLeadOutsideOfTheFileAreCorrupt) {
  using File = std::vector<char>;
  struct Case {
    const char* what;
    std::function<void(File&)> damage;
  };
  const std::uint64_t far = std::uint64_t{1} << 40;
  const Case cases[]{
      {"code past the end", [](File& f) { MadeElf::segment(f, 0).p_filesz = f.size(); }},
      {"code far away", [=](File& f) { MadeElf::segment(f, 0).p_offset = far; }},
      {"code that wraps around", [](File& f) { MadeElf::segment(f, 0).p_filesz = ~std::uint64_t{0}; }},
      {"data past the end", [](File& f) { MadeElf::segment(f, 1).p_offset = f.size() - 0xff; }},
      {"notes far away", [=](File& f) { MadeElf::segment(f, 2).p_offset = far; }},
      {"interpreter far away",
       [=](File& f) {
         MadeElf::segment(f, 2).p_type = PT_INTERP;
         MadeElf::segment(f, 2).p_offset = far;
       }},
      {"program headers far away", [=](File& f) { MadeElf::header(f).e_phoff = far; }},
      {"too many program headers", [](File& f) { MadeElf::header(f).e_phnum = 0xfffe; }},
      {"section headers far away", [=](File& f) { MadeElf::header(f).e_shoff = far; }},
      {"section headers that wrap around", [](File& f) { MadeElf::header(f).e_shoff = ~std::uint64_t{63}; }},
      {"too many section headers", [](File& f) { MadeElf::header(f).e_shnum = 0xfeff; }},
      {"far too many section headers",
       [=](File& f) {
         MadeElf::header(f).e_shnum = 0;
         MadeElf::section(f, MadeElf::Table{}).sh_size = far;
       }},
      {"symbols far away", [=](File& f) { MadeElf::section(f, MadeElf::kDynsym).sh_offset = far; }},
      {"symbols past the end", [](File& f) { MadeElf::section(f, MadeElf::kSymtab).sh_size = f.size(); }},
      {"symbols that wrap around", [](File& f) { MadeElf::section(f, MadeElf::kSymtab).sh_size = ~std::uint64_t{0}; }},
      {"names far away", [=](File& f) { MadeElf::section(f, MadeElf::kDynstr).sh_offset = far; }},
      {"names past the end", [](File& f) { MadeElf::section(f, MadeElf::kStrtab).sh_size = f.size(); }},
      {"names in no section", [](File& f) { MadeElf::section(f, MadeElf::kDynsym).sh_link = 99; }},
      {"names that are symbols", [](File& f) { MadeElf::section(f, MadeElf::kDynsym).sh_link = MadeElf::kDynsym; }},
      {"compressed names", [](File& f) { MadeElf::section(f, MadeElf::kDynstr).sh_flags = SHF_COMPRESSED; }},
  };
  ASSERT_TRUE(read(with_malloc().contents()).ok());
  for (const Case& damaged : cases) {
    std::vector<char> file = with_malloc().contents();
    damaged.damage(file);
    const Result<ElfImage> image = read(file);
    ASSERT_FALSE(image.ok()) << damaged.what;
    EXPECT_EQ(image.error().kind(), ErrorKind::kCorrupt) << damaged.what;
  }
}

TEST(MadeElfTest, EveryTruncationIsCorrupt) {
  const std::vector<char> whole = with_malloc().contents();
  const UniqueFd file = file_of(whole);
  ASSERT_TRUE(ElfImage::read(file.get(), kWanted).ok());
  for (std::size_t size = whole.size(); size-- > 0;) {
    ASSERT_EQ(::ftruncate(file.get(), static_cast<off_t>(size)), 0);
    const Result<ElfImage> image = ElfImage::read(file.get(), kWanted);
    ASSERT_FALSE(image.ok()) << size;
    ASSERT_EQ(image.error().kind(), ErrorKind::kCorrupt) << size;
  }
}

TEST(MadeElfTest, ReadsNoMoreThanAProgramCouldHave) {
  const auto with_a_hole = [](const std::vector<char>& contents) {
    UniqueFd file = file_of(contents);
    EXPECT_EQ(::ftruncate(file.get(), std::int64_t{1} << 40), 0);
    return file;
  };
  std::vector<char> contents = with_malloc().contents();
  MadeElf::segment(contents, 2).p_filesz = 2 << 20;
  MadeElf::section(contents, MadeElf::kNotes).sh_size = 2 << 20;
  const Result<ElfImage> image = ElfImage::read(with_a_hole(contents).get(), kWanted);
  ASSERT_TRUE(image.ok());
  EXPECT_EQ(image->build_id(), "");

  for (const std::uint64_t size : {std::uint64_t{600} << 20, std::uint64_t{1} << 39}) {
    MadeElf::section(contents, MadeElf::kSymtab).sh_size = size;
    EXPECT_FALSE(ElfImage::read(with_a_hole(contents).get(), kWanted).ok()) << size;
  }
  // A function may claim any size.
  const UniqueFd file = with_a_hole(contents);
  EXPECT_EQ(read_bytes(file.get(), (std::uint64_t{1} << 40) - 16, ~std::size_t{0})->size(), 16U);
}

TEST(MadeElfTest, NeverKeepsAFunctionOutsideOfTheCodeHoweverBytesAreChanged) {
  const std::vector<char> whole = with_malloc().contents();
  std::vector<std::size_t> meaningful;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    if (at < 0x1000 ? at < 0x100 : at >= 0x1200) meaningful.push_back(at);
  }
  std::mt19937 random(7);
  int usable = 0;
  for (int round = 0; round < 5000; ++round) {
    std::vector<char> file = whole;
    for (int changes = 0; changes < 2; ++changes)
      file[meaningful[random() % meaningful.size()]] = static_cast<char>(random());
    const Result<ElfImage> image = read(file);
    if (!image) continue;
    ++usable;
    for (const FunctionSymbol& function : image->functions()) {
      const std::optional<std::uint64_t> offset = image->offset_of_address(function.address);
      ASSERT_TRUE(offset.has_value());
      ASSERT_LT(*offset, whole.size());
    }
  }
  EXPECT_GT(usable, 500);
  EXPECT_LT(usable, 4900);
}

}  // namespace
}  // namespace tracer::elf
