// SPDX-License-Identifier: Apache-2.0
#include "unwind/frame_entries.h"

#include <optional>

#include "unwind/dwarf_constants.h"

namespace tracer::unwind {
namespace {

constexpr std::uint32_t kLongLength = 0xffffffff;
constexpr std::uint8_t kOmitted = 0xff;

// A common entry is read again whenever it is not in the cache any more, so what that costs must have a bound. Real
// ones have about thirty bytes.
constexpr std::size_t kLongestCommon = 256;

/// The fields from the version on up to the augmentation data. Nullopt for a version, address size or return address
/// column that is not that of x86-64.
struct CommonFields {
  std::string_view augmentation;
  std::uint64_t code_factor = 0;
  std::int64_t data_factor = 0;
};

std::optional<CommonFields> read_fields(Cursor* cursor) {
  CommonFields fields;
  const auto version = cursor->number<std::uint8_t>();
  if (version != 1 && version != 3 && version != 4) return std::nullopt;
  fields.augmentation = cursor->text();
  if (fields.augmentation == "eh") cursor->bytes(sizeof(std::uint64_t));
  if (version == 4) {
    const auto address_size = cursor->number<std::uint8_t>();
    const auto selector_size = cursor->number<std::uint8_t>();
    if (address_size != sizeof(std::uint64_t) || selector_size != 0) return std::nullopt;
  }
  fields.code_factor = cursor->uleb();
  fields.data_factor = cursor->sleb();
  const std::uint64_t column = version == 1 ? cursor->number<std::uint8_t>() : cursor->uleb();
  if (cursor->failed() || column != kReturnAddress) return std::nullopt;
  return fields;
}

}  // namespace

bool FrameEntries::next(FunctionEntry* function) {
  Entry entry;
  while (read_entry(at_, &entry)) {
    at_ = entry.next_at;
    if (entry.is_terminator && section_.ends_at_zero) return false;
    // Linkers leave terminators of single objects in the midst.
    if (!entry.is_terminator && !is_common(entry) && read_function(entry, function)) return true;
  }
  return false;
}

bool FrameEntries::read_entry(std::uint64_t at, Entry* entry) const {
  if (at >= section_.bytes.size()) return false;
  Cursor cursor(section_.bytes.subspan(at));
  std::uint64_t length = cursor.number<std::uint32_t>();
  entry->is_64_bit = length == kLongLength;
  if (entry->is_64_bit) length = cursor.number<std::uint64_t>();
  entry->id_at = section_.bytes.size() - cursor.left();
  entry->contents = Cursor(cursor.bytes(length));
  if (cursor.failed()) return false;
  entry->next_at = section_.bytes.size() - cursor.left();
  entry->is_terminator = length == 0;
  // In .eh_frame it takes four bytes, whatever the length takes; LSB Core, "The Call Frame Information Record".
  const bool is_long = section_.is_debug_frame && entry->is_64_bit;
  entry->id = is_long ? entry->contents.number<std::uint64_t>() : entry->contents.number<std::uint32_t>();
  return true;
}

bool FrameEntries::is_common(const Entry& entry) const {
  if (entry.contents.failed()) return false;
  if (!section_.is_debug_frame) return entry.id == 0;
  return entry.id == (entry.is_64_bit ? ~std::uint64_t{0} : std::uint64_t{0xffffffff});
}

bool FrameEntries::read_function(Entry entry, FunctionEntry* function) {
  // .eh_frame counts backwards from where the number is.
  const std::uint64_t common_at_offset = section_.is_debug_frame ? entry.id : entry.id_at - entry.id;
  if (entry.contents.failed() || common_at_offset >= section_.bytes.size()) return false;
  const CommonEntry& common = common_at(common_at_offset);
  if (!common.is_usable) return false;
  const std::optional<std::uint64_t> start = section_.pointer(&entry.contents, common.encoding);
  const std::optional<std::uint64_t> size = section_.pointer(&entry.contents, common.encoding & DW_EH_PE_format);
  if (common.has_augmentation_data) entry.contents.bytes(entry.contents.uleb());
  // Nothing is at address 0: it stands for a function that the linker has left out.
  if (entry.contents.failed() || !start || !size || *start == 0 || *size == 0 || *start + *size < *start) return false;
  *function = {*start, *start + *size, entry.contents.rest(), &common};
  return true;
}

const CommonEntry& FrameEntries::common_at(std::uint64_t at) {
  CachedCommon& cached = cache_[(at >> 2) % cache_.size()];
  if (cached.at != at) cached = {at, read_common(at)};
  return cached.common;
}

CommonEntry FrameEntries::read_common(std::uint64_t at) {
  Entry entry;
  CommonEntry common;
  if (!read_entry(at, &entry) || !is_common(entry) || entry.contents.left() > kLongestCommon) return common;
  Cursor& cursor = entry.contents;
  const std::optional<CommonFields> fields = read_fields(&cursor);
  if (!fields) return common;
  common.code_factor = fields->code_factor;
  common.data_factor = fields->data_factor;
  common.has_augmentation_data = fields->augmentation.starts_with('z');
  if (common.has_augmentation_data) {
    const Cursor data(cursor.bytes(cursor.uleb()));
    if (!read_augmentation(fields->augmentation.substr(1), data, &common)) return common;
  } else if (!fields->augmentation.empty() && fields->augmentation != "eh") {
    return common;
  }
  if (cursor.failed()) return common;
  common.is_usable = program_->run_initial(cursor.rest(), &common);
  return common;
}

bool FrameEntries::read_augmentation(std::string_view letters, Cursor data, CommonEntry* common) const {
  for (const char letter : letters) {
    if (letter == 'R') {
      common->encoding = data.number<std::uint8_t>();
    } else if (letter == 'L') {
      data.number<std::uint8_t>();
    } else if (letter == 'P') {
      const std::uint8_t encoding = data.number<std::uint8_t>() & static_cast<std::uint8_t>(~DW_EH_PE_indirect);
      const std::uint8_t format = encoding & DW_EH_PE_format;
      if (encoding != (kOmitted & ~DW_EH_PE_indirect) && !section_.pointer(&data, format)) return false;
    } else if (letter != 'S') {
      return false;
    }
  }
  return !data.failed();
}

}  // namespace tracer::unwind
