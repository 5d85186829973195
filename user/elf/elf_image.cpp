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

#include "elf/symbol_tables.h"

namespace tracer::elf {
namespace {

// Far above what real programs have: a damaged or hostile header must not have us read, or hold, gigabytes.
constexpr std::size_t kMostSegments = 4096;
constexpr std::uint64_t kLongestBuildId = 64;
constexpr std::uint64_t kLongestInterpreter = 4096;
constexpr std::uint64_t kLongestNotes = 1 << 20;

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

bool is_build_id(const GElf_Nhdr& note, const char* name) {
  return note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof(ELF_NOTE_GNU) && note.n_descsz <= kLongestBuildId &&
         std::memcmp(name, ELF_NOTE_GNU, sizeof(ELF_NOTE_GNU)) == 0;
}

/// The build id in a chunk of notes, lower-case hex; empty when it has none.
std::string find_build_id(Elf_Data* notes) {
  std::size_t at = 0;
  GElf_Nhdr note;
  std::size_t name_at = 0;
  std::size_t contents_at = 0;
  while (notes != nullptr && (at = gelf_getnote(notes, at, &note, &name_at, &contents_at)) > 0) {
    const char* bytes = static_cast<const char*>(notes->d_buf);
    if (!is_build_id(note, bytes + name_at)) continue;
    const auto* id = reinterpret_cast<const unsigned char*>(bytes + contents_at);
    return fmt::format("{:02x}", fmt::join(id, id + note.n_descsz, ""));
  }
  return {};
}

std::string read_build_id(Elf* elf, const GElf_Phdr& segment) {
  if (segment.p_filesz > kLongestNotes) return {};
  return find_build_id(elf_getdata_rawchunk(elf, static_cast<std::int64_t>(segment.p_offset), segment.p_filesz,
                                            segment.p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR));
}

/// For files whose program headers do not list their notes.
bool has_section(Elf* elf, std::string_view name) {
  std::size_t names = 0;
  if (elf_getshdrstrndx(elf, &names) != 0) return false;
  for (Elf_Scn* section = elf_nextscn(elf, nullptr); section != nullptr; section = elf_nextscn(elf, section)) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr) continue;
    const char* found = elf_strptr(elf, names, header.sh_name);
    if (found != nullptr && name == found) return true;
  }
  return false;
}

std::string read_build_id_from_sections(Elf* elf) {
  for (Elf_Scn* section = elf_nextscn(elf, nullptr); section != nullptr; section = elf_nextscn(elf, section)) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type != SHT_NOTE || header.sh_size > kLongestNotes)
      continue;
    if (std::string id = find_build_id(elf_getdata(section, nullptr)); !id.empty()) return id;
  }
  return {};
}

std::string read_interpreter(Elf* elf, const GElf_Phdr& segment) {
  if (segment.p_filesz > kLongestInterpreter) return {};
  const Elf_Data* data =
      elf_getdata_rawchunk(elf, static_cast<std::int64_t>(segment.p_offset), segment.p_filesz, ELF_T_BYTE);
  if (data == nullptr || data->d_buf == nullptr) return {};
  const std::string_view text(static_cast<const char*>(data->d_buf), data->d_size);
  return std::string(text.substr(0, text.find('\0')));
}

bool is_inside_file(const GElf_Phdr& segment, std::uint64_t file_size) {
  return segment.p_offset <= file_size && segment.p_filesz <= file_size - segment.p_offset;
}

/// A file is truncated most often behind its segments, where the section headers are; libelf then shows it without any.
bool has_lost_its_sections(Elf* elf, const GElf_Ehdr& header) {
  std::size_t sections = 0;
  return elf_getshdrnum(elf, &sections) != 0 || (header.e_shoff != 0 && sections == 0);
}

}  // namespace

Result<ElfImage> ElfImage::read(int fd, const std::vector<std::string_view>& wanted) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return Error::from_errno(errno, "cannot read an ELF file");
  if (!S_ISREG(status.st_mode)) return corrupt("not a regular file");
  const auto file_size = static_cast<std::uint64_t>(status.st_size);
  elf_version(EV_CURRENT);
  // Read, not mapped: a file that is truncated while we look must not end us with SIGBUS.
  const ElfHandle elf(elf_begin(fd, ELF_C_READ, nullptr));
  GElf_Ehdr header;
  if (!elf || elf_kind(elf.get()) != ELF_K_ELF || gelf_getehdr(elf.get(), &header) == nullptr)
    return corrupt("no ELF header");
  if (has_lost_its_sections(elf.get(), header)) return corrupt("section headers outside of the file");

  ElfImage image;
  image.is_64_bit_ = header.e_ident[EI_CLASS] == ELFCLASS64;
  image.machine_ = machine_of(header.e_machine);
  if (Result<void> read = image.read_segments(elf.get(), file_size); !read) return std::move(read).error();
  if (image.build_id_.empty()) image.build_id_ = read_build_id_from_sections(elf.get());
  image.is_go_ = has_section(elf.get(), ".go.buildinfo");
  if (Result<void> read = image.read_functions(elf.get(), file_size, wanted); !read) return std::move(read).error();
  return image;
}

Result<void> ElfImage::read_segments(Elf* elf, std::uint64_t file_size) {
  std::size_t count = 0;
  if (elf_getphdrnum(elf, &count) != 0 || count > kMostSegments) return corrupt("bad program headers");
  for (std::size_t i = 0; i < count; ++i) {
    GElf_Phdr segment;
    if (gelf_getphdr(elf, static_cast<int>(i), &segment) == nullptr) return corrupt("bad program headers");
    if (segment.p_type != PT_LOAD && segment.p_type != PT_INTERP && segment.p_type != PT_NOTE) continue;
    if (!is_inside_file(segment, file_size)) return corrupt("segment outside of the file");
    if (segment.p_type == PT_LOAD) {
      segments_.push_back({segment.p_offset, segment.p_vaddr, segment.p_filesz, (segment.p_flags & PF_X) != 0});
    } else if (segment.p_type == PT_INTERP) {
      interpreter_ = read_interpreter(elf, segment);
    } else if (build_id_.empty()) {
      build_id_ = read_build_id(elf, segment);
    }
  }
  return {};
}

Result<void> ElfImage::read_functions(Elf* elf, std::uint64_t file_size, const std::vector<std::string_view>& wanted) {
  if (wanted.empty()) return {};
  const std::set<std::string_view> names(wanted.begin(), wanted.end());
  const auto is_code = [this](std::uint64_t address) { return offset_of_address(address).has_value(); };
  Result<FunctionSizes> sizes = read_function_sizes(elf, file_size, names, is_code);
  if (!sizes) return std::move(sizes).error();
  for (const auto& [key, size] : *sizes) functions_.push_back({std::string(key.second), key.first, size});
  return {};
}

std::optional<std::uint64_t> ElfImage::address_of_offset(std::uint64_t file_offset) const {
  for (const Segment& segment : segments_) {
    if (segment.executable && file_offset >= segment.file_offset &&
        file_offset - segment.file_offset < segment.file_size_bytes)
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
  struct stat status {};
  if (::fstat(fd, &status) != 0) return Error::from_errno(errno, "cannot read a mapped file");
  // Symbol tables may claim any size: no more memory than the file has bytes.
  const auto file_size = static_cast<std::uint64_t>(status.st_size);
  std::vector<std::uint8_t> bytes(file_offset < file_size ? std::min(size_bytes, file_size - file_offset) : 0);
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = ::pread(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(file_offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error::from_errno(errno, "cannot read a mapped file");
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  bytes.resize(done);
  return bytes;
}

}  // namespace tracer::elf
