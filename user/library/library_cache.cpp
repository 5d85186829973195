// SPDX-License-Identifier: Apache-2.0
#include "library/library_cache.h"

#include "base/log.h"

namespace tracer::library {
namespace {

const std::string& build_id_of(const std::optional<elf::ElfImage>& image) {
  static const std::string kNone;
  return image ? image->build_id() : kNone;
}

}  // namespace

Library* LibraryCache::find(std::uint32_t number) const {
  const auto found = by_number_.find(number);
  return found == by_number_.end() ? nullptr : found->second;
}

Library& LibraryCache::add(const FileIdentity& identity, const std::string& path, UniqueFd file) {
  const auto id = static_cast<std::uint32_t>(libraries_.size());
  libraries_.push_back(std::make_unique<Library>(id, identity, path, std::move(file)));
  return *libraries_.back();
}

std::optional<elf::ElfImage> LibraryCache::inspect(const UniqueFd& file, const std::string& path) const {
  Result<elf::ElfImage> image = elf::ElfImage::read(file.get(), wanted_);
  if (image) return std::move(*image);
  // Programs map all kinds of files executable; one that is no ELF file simply has nothing to arm.
  log::verbose("{}: {}", path, image.error().message());
  return std::nullopt;
}

/// A content without a build id cannot be told from another one that was written into the same inode.
Library* LibraryCache::find_same_content(const FileIdentity& identity, const std::string& build_id) const {
  if (build_id.empty()) return nullptr;
  for (const auto& library : libraries_) {
    if (library->identity().is_same_inode(identity) && build_id_of(library->image()) == build_id) return library.get();
  }
  return nullptr;
}

Library* LibraryCache::find_or_inspect(std::uint32_t number, const FileIdentity& identity, UniqueFd file,
                                       const std::string& path) {
  Library* known = find(number);
  if (known != nullptr && known->state() != State::kRetired) return known;

  std::optional<elf::ElfImage> image = inspect(file, path);
  const bool was_lost = known != nullptr && !known->was_inspected();
  if (known == nullptr)
    known = find_same_content(identity, build_id_of(image));
  else if (!was_lost && build_id_of(known->image()) != build_id_of(image))
    return nullptr;

  if (known == nullptr) {
    known = &add(identity, path, std::move(file));
    known->inspected(std::move(image));
  } else if (known->state() == State::kRetired) {
    known->see_again(identity, path, std::move(file));
    known->inspected(std::move(image));
  }
  by_number_[number] = known;
  return known;
}

Library& LibraryCache::add_lost(std::uint32_t number, const FileIdentity& identity, const std::string& path) {
  for (const auto& library : libraries_) {
    if (!library->was_inspected() || !library->identity().is_same_content(identity)) continue;
    by_number_[number] = library.get();
    return *library;
  }
  Library& library = add(identity, path, UniqueFd());
  library.retire();
  by_number_[number] = &library;
  return library;
}

}  // namespace tracer::library
