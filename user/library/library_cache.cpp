// SPDX-License-Identifier: Apache-2.0
#include "library/library_cache.h"

#include "base/log.h"

namespace tracer::library {

Library& LibraryCache::add(const FileIdentity& identity, const std::string& path, UniqueFd file) {
  const auto id = static_cast<std::uint32_t>(libraries_.size());
  libraries_.push_back(std::make_unique<Library>(id, identity, path, std::move(file)));
  by_identity_[identity] = libraries_.back().get();
  return *libraries_.back();
}

void LibraryCache::inspect(Library& library) {
  Result<elf::ElfImage> image = elf::ElfImage::read(library.file().get(), wanted_);
  if (!image) {
    // Programs map all kinds of files executable; one that is no ELF file simply has nothing to arm.
    log::verbose("{}: {}", library.path(), image.error().message());
    library.inspected(std::nullopt);
    return;
  }
  library.inspected(std::move(*image));
}

Result<Library*> LibraryCache::find_or_inspect(UniqueFd file, const std::string& path) {
  Result<FileIdentity> identity = FileIdentity::of(file.get());
  if (!identity) return std::move(identity).error().in_context(path);
  const auto found = by_identity_.find(*identity);
  if (found == by_identity_.end()) {
    Library& library = add(*identity, path, std::move(file));
    inspect(library);
    return &library;
  }
  Library& known = *found->second;
  if (known.state() != State::kRetired) return &known;

  Result<elf::ElfImage> image = elf::ElfImage::read(file.get(), wanted_);
  const std::string build_id = image.ok() ? image->build_id() : std::string();
  const std::string known_build_id = known.image() ? known.image()->build_id() : std::string();
  if (build_id != known_build_id) {
    Library& library = add(*identity, path, std::move(file));
    inspect(library);
    return &library;
  }
  known.see_again(std::move(file));
  known.inspected(image.ok() ? std::optional(std::move(*image)) : std::nullopt);
  return &known;
}

}  // namespace tracer::library
