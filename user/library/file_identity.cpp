// SPDX-License-Identifier: Apache-2.0
#include "library/file_identity.h"

#include <fmt/format.h>

namespace tracer::library {
namespace {

// A dev_t inside of the kernel (include/linux/kdev_t.h), which is not that of user space.
constexpr std::uint32_t kMinorBits = 20;

}  // namespace

FileIdentity FileIdentity::of(const tr_file_key& key) {
  return {key.device >> kMinorBits,
          key.device & ((1U << kMinorBits) - 1),
          key.inode,
          key.generation,
          key.changed_ns,
          key.size};
}

bool FileIdentity::is_same_inode(const FileIdentity& other) const {
  return device_major == other.device_major && device_minor == other.device_minor && inode == other.inode &&
         generation == other.generation;
}

std::string FileIdentity::device() const { return fmt::format("{}:{}", device_major, device_minor); }

}  // namespace tracer::library
