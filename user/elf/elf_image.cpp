// SPDX-License-Identifier: Apache-2.0
#include "elf/elf_image.h"

#include <fmt/format.h>
#include <gelf.h>
#include <libelf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <tuple>
#include <utility>

namespace tracer::elf {
namespace {

// No real program has more of either; a damaged header must not send us through millions.
constexpr std::size_t kMostSegments = 4096;
constexpr std::size_t kLongestBuildId = 64;
constexpr std::size_t kLongestInterpreter = 4096;

struct ElfCloser {
  void operator()(Elf* elf) const noexcept { elf_end(elf); }
};
using ElfHandle = std::unique_ptr<Elf, ElfCloser>;

Error corrupt(const std::string& what) { return Error(ErrorKind::kCorrupt, "not a usable ELF file: " + what); }

Machine machine_of(std::uint16_t machine) {
  if (machine == EM_X86_64) return Machine::kX86_64;
  if (machine == EM_AARCH64) return Machine::kArm64;
  return Machine::kOther;
}

/// The build id in a chunk of notes, lower-case hex; empty when it has none.
std::string find_build_id(Elf_Data* notes) {
  std::size_t at = 0;
  GElf_Nhdr header;
  std::size_t name_at = 0;
  std::size_t contents_at = 0;
  while (notes != nullptr && (at = gelf_getnote(notes, at, &header, &name_at, &contents_at)) > 0) {
    const char* bytes = static_cast<const char*>(notes->d_buf);
    if (header.n_type != NT_GNU_BUILD_ID || header.n_namesz != sizeof(ELF_NOTE_GNU) ||
        std::memcmp(bytes + name_at, ELF_NOTE_GNU, sizeof(ELF_NOTE_GNU)) != 0 || header.n_descsz > kLongestBuildId)
      continue;
    std::string id;
    for (std::size_t i = 0; i < header.n_descsz; ++i)
      id += fmt::format("{:02x}", static_cast<unsigned char>(bytes[contents_at + i]));
    return id;
  }
  return {};
}

bool is_inside_file(const GElf_Phdr& segment, std::uint64_t file_size) {
  return segment.p_offset <= file_size && segment.p_filesz <= file_size - segment.p_offset;
}

std::string read_interpreter(Elf* elf, const GElf_Phdr& segment) {
  if (segment.p_filesz > kLongestInterpreter) return {};
  const Elf_Data* data = elf_getdata_rawchunk(elf, static_cast<std::int64_t>(segment.p_offset), segment.p_filesz, ELF_T_BYTE);
  if (data == nullptr || data->d_buf == nullptr) return {};
  const std::string_view text(static_cast<const char*>(data->d_buf), data->d_size);
  return std::string(text.substr(0, text.find('\0')));
}

bool is_function(const GElf_Sym& symbol) {
  return GELF_ST_TYPE(symbol.st_info) == STT_FUNC && symbol.st_shndx != SHN_UNDEF && symbol.st_value != 0;
}

/// "malloc@@GLIBC_2.2.5", as .symtab has it, is "malloc".
std::string_view without_version(std::string_view name) { return name.substr(0, name.find('@')); }

}  // namespace

Result<ElfImage> ElfImage::read(int fd, const std::vector<std::string_view>& wanted) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return Error::from_errno(errno, "cannot read an ELF file");
  if (!S_ISREG(status.st_mode)) return corrupt("not a regular file");
  elf_version(EV_CURRENT);
  // Read, not mapped: a file that is truncated while we look must not end us with SIGBUS.
  const ElfHandle elf(elf_begin(fd, ELF_C_READ, nullptr));
  GElf_Ehdr header;
  if (!elf || elf_kind(elf.get()) != ELF_K_ELF || gelf_getehdr(elf.get(), &header) == nullptr) return corrupt("no ELF header");

  ElfImage image;
  image.is_64_bit_ = header.e_ident[EI_CLASS] == ELFCLASS64;
  image.machine_ = machine_of(header.e_machine);
  std::size_t segments = 0;
  if (elf_getphdrnum(elf.get(), &segments) != 0 || segments > kMostSegments) return corrupt("bad program headers");
  for (std::size_t i = 0; i < segments; ++i) {
    GElf_Phdr segment;
    if (gelf_getphdr(elf.get(), static_cast<int>(i), &segment) == nullptr) return corrupt("bad program headers");
    if (!is_inside_file(segment, static_cast<std::uint64_t>(status.st_size))) continue;
    if (segment.p_type == PT_LOAD) {
      image.segments_.push_back({segment.p_offset, segment.p_vaddr, segment.p_filesz, (segment.p_flags & PF_X) != 0});
    } else if (segment.p_type == PT_INTERP) {
      image.interpreter_ = read_interpreter(elf.get(), segment);
    } else if (segment.p_type == PT_NOTE && image.build_id_.empty()) {
      image.build_id_ = find_build_id(elf_getdata_rawchunk(elf.get(), static_cast<std::int64_t>(segment.p_offset), segment.p_filesz,
                                                           segment.p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR));
    }
  }
  image.read_functions(elf.get(), wanted);
  return image;
}

void ElfImage::read_functions(Elf* elf, const std::vector<std::string_view>& wanted) {
  if (wanted.empty()) return;
  const std::set<std::string_view> names(wanted.begin(), wanted.end());
  std::set<std::pair<std::uint64_t, std::string_view>> seen;
  for (Elf_Scn* section = elf_nextscn(elf, nullptr); section != nullptr; section = elf_nextscn(elf, section)) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || (header.sh_type != SHT_DYNSYM && header.sh_type != SHT_SYMTAB)) continue;
    Elf_Data* data = elf_getdata(section, nullptr);
    if (data == nullptr || header.sh_entsize == 0) continue;
    const std::size_t count = data->d_size / header.sh_entsize;
    for (std::size_t i = 0; i < count; ++i) {
      GElf_Sym symbol;
      if (gelf_getsym(data, static_cast<int>(i), &symbol) == nullptr) break;
      if (!is_function(symbol)) continue;
      const char* text = elf_strptr(elf, header.sh_link, symbol.st_name);
      if (text == nullptr) continue;
      const auto name = names.find(without_version(text));
      if (name == names.end() || !offset_of_address(symbol.st_value)) continue;
      if (seen.emplace(symbol.st_value, *name).second)
        functions_.push_back({std::string(*name), symbol.st_value, symbol.st_size});
    }
  }
  std::ranges::sort(functions_, [](const FunctionSymbol& a, const FunctionSymbol& b) {
    return std::tie(a.address, a.name) < std::tie(b.address, b.name);
  });
}

std::optional<std::uint64_t> ElfImage::address_of_offset(std::uint64_t file_offset) const {
  for (const Segment& segment : segments_) {
    if (segment.executable && file_offset >= segment.file_offset && file_offset - segment.file_offset < segment.file_size_bytes)
      return file_offset - segment.file_offset + segment.address;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> ElfImage::offset_of_address(std::uint64_t address) const {
  for (const Segment& segment : segments_) {
    if (segment.executable && address >= segment.address && address - segment.address < segment.file_size_bytes)
      return address - segment.address + segment.file_offset;
  }
  return std::nullopt;
}

Result<std::vector<std::uint8_t>> read_bytes(int fd, std::uint64_t file_offset, std::size_t size_bytes) {
  std::vector<std::uint8_t> bytes(size_bytes);
  std::size_t done = 0;
  while (done < size_bytes) {
    const ssize_t got = ::pread(fd, bytes.data() + done, size_bytes - done, static_cast<off_t>(file_offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error::from_errno(errno, "cannot read a mapped file");
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  bytes.resize(done);
  return bytes;
}

}  // namespace tracer::elf
