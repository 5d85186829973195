// SPDX-License-Identifier: Apache-2.0
#include "tracing/vdso.h"

#include <elf.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace tracer::tracing {

Result<UniqueFd> copy_vdso() {
  const void* image = reinterpret_cast<const void*>(::getauxval(AT_SYSINFO_EHDR));
  if (image == nullptr) return Error(ErrorKind::kUnsupported, "this kernel has no vdso");
  Elf64_Ehdr header{};
  std::memcpy(&header, image, sizeof(header));
  // The section headers come last (arch/x86/entry/vdso).
  const std::size_t size = header.e_shoff + std::size_t{header.e_shnum} * header.e_shentsize;
  UniqueFd file(::memfd_create("vdso", MFD_CLOEXEC));
  if (!file.valid() || ::write(file.get(), image, size) != static_cast<ssize_t>(size))
    return Error::from_errno(errno, "cannot copy the vdso");
  return file;
}

}  // namespace tracer::tracing
