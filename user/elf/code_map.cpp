// SPDX-License-Identifier: Apache-2.0
#include "elf/code_map.h"

namespace tracer::elf {
namespace {

constexpr std::size_t kStubSize = 16;

}  // namespace

std::optional<Destination> CodeMap::destination(const Instruction& instruction, std::uint64_t at) const {
  if (const std::optional<std::uint64_t> target = target_of(instruction, at)) return destination(*target);
  const std::optional<std::uint64_t> slot = slot_of(instruction, at);
  const Import* import = slot ? import_at(*slot) : nullptr;
  if (import == nullptr) return std::nullopt;
  return Destination{import->address, import->name};
}

/// A stub is a jump through a pointer, perhaps behind an endbr64.
Destination CodeMap::destination(std::uint64_t address) const {
  const std::vector<std::uint8_t> bytes = code_at(address, kStubSize);
  const Code code(bytes);
  const Decoder decoder;
  Instruction instruction;
  std::size_t at = 0;
  if (!ZYAN_SUCCESS(decoder.decode(code, &instruction))) return {address, {}};
  if (instruction.is(ZYDIS_MNEMONIC_ENDBR64)) {
    at = instruction.info.length;
    if (!ZYAN_SUCCESS(decoder.decode(code.subspan(at), &instruction))) return {address, {}};
  }
  const std::optional<std::uint64_t> slot =
      instruction.is(ZYDIS_MNEMONIC_JMP) ? slot_of(instruction, address + at) : std::nullopt;
  const Import* import = slot ? import_at(*slot) : nullptr;
  return import == nullptr ? Destination{address, {}} : Destination{import->address, import->name};
}

}  // namespace tracer::elf
