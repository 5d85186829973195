// SPDX-License-Identifier: Apache-2.0
#include "library/file_identity.h"

#include <fmt/format.h>

namespace tracer::library {
namespace {

// A dev_t inside of the kernel (include/linux/kdev_t.h), which is not that of user space.
constexpr std::uint32_t kMinorBits = 20;

}  // namespace

FileIdentity FileIdentity::of(const tr_file_key& key, std::uint64_t modified_ns) {
  FileIdentity identity;
  identity.device_major = key.device >> kMinorBits;
  identity.device_minor = key.device & ((1U << kMinorBits) - 1);
  identity.inode = key.inode;
  identity.generation = key.generation;
  identity.changed_ns = key.changed_ns;
  identity.size_bytes = key.size;
  identity.modified_ns = modified_ns;
  return identity;
}

bool FileIdentity::is_same_content(const FileIdentity& other) const {
  return is_same_inode(other) && size_bytes == other.size_bytes && modified_ns == other.modified_ns;
}

bool FileIdentity::is_same_inode(const FileIdentity& other) const {
  return device_major == other.device_major && device_minor == other.device_minor && inode == other.inode &&
         generation == other.generation;
}

std::string FileIdentity::device() const { return fmt::format("{}:{}", device_major, device_minor); }

}  // namespace tracer::library
