// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include "elf/probe_site.h"

namespace tracer::elf {

inline bool operator==(const ProbeSite& a, const ProbeSite& b) {
  return a.offset == b.offset && a.emulated == b.emulated;
}

inline void PrintTo(const ProbeSite& site, std::ostream* out) {
  *out << "+" << site.offset << (site.emulated ? " emulated" : " single-stepped");
}

inline constexpr ProbeSite kEntry{0, false};

inline ProbeSite emulated_at(std::uint32_t offset) { return {offset, true}; }

/// "48 85 ff" as objdump shows it.
inline std::vector<std::uint8_t> bytes(const std::string& hex) {
  std::vector<std::uint8_t> out;
  std::istringstream words(hex);
  for (std::string word; words >> word;) out.push_back(static_cast<std::uint8_t>(std::stoul(word, nullptr, 16)));
  return out;
}

inline ProbeSite site_of(const std::string& hex) { return select_probe_site(bytes(hex)); }

struct Prologue {
  const char* function;
  const char* code;
  ProbeSite site;
};

inline void expect_sites(const std::vector<Prologue>& prologues) {
  for (const Prologue& prologue : prologues) EXPECT_EQ(site_of(prologue.code), prologue.site) << prologue.function;
}

}  // namespace tracer::elf
