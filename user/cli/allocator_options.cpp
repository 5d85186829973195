// SPDX-License-Identifier: Apache-2.0
#include "cli/allocator_options.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "base/unique_fd.h"
#include "cli/values.h"
#include "elf/elf_image.h"
#include "tracing/own_allocator.h"

namespace tracer::cli {
namespace {

constexpr std::size_t kLargestFile = 1 << 20;

/// Sets, or clears, the families of the lists; "all" is every one.
Result<void> choose(const std::string& option, const std::vector<std::string>& lists, bool value,
                    tracing::FamilySet* families) {
  Result<std::vector<std::string>> words = split_lists(option, "family", lists);
  if (!words) return std::move(words).error();
  for (const std::string& word : *words) {
    const std::optional<tracing::Family> family = tracing::family_named(word);
    if (!family && word != "all")
      return usage(fmt::format("{} '{}': unknown family", option, word),
                   fmt::format("the families are {}, and all", tracing::family_names()));
    if (family)
      families->set(tracing::index_of(*family), value);
    else
      *families = value ? ~tracing::FamilySet() : tracing::FamilySet();
  }
  return {};
}

Result<std::vector<tracing::Function>> read_file(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return Error::from_errno(errno, fmt::format("--allocator: cannot open {}", path));
  const Result<std::vector<std::uint8_t>> bytes = elf::read_bytes(file.get(), 0, kLargestFile);
  if (!bytes) return Error(bytes.error()).in_context(path);
  return tracing::parse_allocators(path, std::string(bytes->begin(), bytes->end()));
}

Result<std::vector<tracing::Function>> read_own(const std::string& text) {
  if (text.starts_with('@')) return read_file(text.substr(1));
  Result<tracing::Function> function = tracing::parse_allocator(text);
  if (!function) return std::move(function).error();
  return std::vector<tracing::Function>{std::move(*function)};
}

}  // namespace

Result<void> read_allocators(const RawAllocators& raw, session::Config& config) {
  if (Result<void> chosen = choose("--no-family", raw.no_families, false, &config.families); !chosen) return chosen;
  if (Result<void> chosen = choose("--family", raw.families, true, &config.families); !chosen) return chosen;
  for (const std::string& text : raw.own) {
    Result<std::vector<tracing::Function>> functions = read_own(text);
    if (!functions) return std::move(functions).error();
    std::ranges::move(*functions, std::back_inserter(config.own));
  }
  return {};
}

}  // namespace tracer::cli
