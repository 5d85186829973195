// SPDX-License-Identifier: Apache-2.0
#include "tracing/own_allocator.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace tracer::tracing {
namespace {

constexpr int kMostArguments = 4;
constexpr const char* kForms = "for example 'libpool.so:pool_get(size=1)->ptr' and 'libpool.so:pool_put(ptr=1)'";

Error bad(std::string_view text, std::string_view why) {
  return Error(ErrorKind::kUsage, fmt::format("--allocator '{}': {}", text, why), kForms);
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

/// What is in front of the separator; `rest` goes on behind it. All of `rest` when there is none.
std::string_view take_until(std::string_view* rest, char separator) {
  const std::size_t at = rest->find(separator);
  const std::string_view taken = rest->substr(0, at);
  *rest = at == std::string_view::npos ? std::string_view() : rest->substr(at + 1);
  return trimmed(taken);
}

struct Meanings {
  std::uint8_t size = 0, count = 0, ptr = 0, out = 0;

  std::uint8_t* named(std::string_view name) {
    return name == "size" ? &size : name == "count" ? &count : name == "ptr" ? &ptr : name == "out" ? &out : nullptr;
  }
};

/// "size=1"; the reason when it makes no sense.
std::string read_meaning(std::string_view text, Meanings* meanings) {
  std::string_view number = text;
  const std::string_view name = take_until(&number, '=');
  std::uint8_t* meaning = meanings->named(name);
  if (meaning == nullptr) return fmt::format("'{}': an argument is size, count, ptr or out", name);
  number = trimmed(number);
  if (number.size() != 1 || number[0] < '1' || number[0] > '0' + kMostArguments)
    return fmt::format("'{}': the number of an argument is 1 to {}", text, kMostArguments);
  if (*meaning != 0) return fmt::format("{} is there twice", name);
  *meaning = static_cast<std::uint8_t>(number[0] - '0');
  return {};
}

/// What a function with these arguments does; the reason when no allocator has such a function.
std::string classify(const Meanings& meanings, bool returns_block, Function* function) {
  function->size_arg = meanings.size;
  function->count_arg = meanings.count;
  if (meanings.count != 0 && meanings.size == 0) return "a count without a size";
  if (meanings.out != 0) {
    if (meanings.ptr != 0 || returns_block) return "out goes with neither ptr nor a result";
    if (meanings.size == 0) return "an allocation needs a size";
    function->call = TR_CALL_ALLOC_OUT;
    function->pointer_arg = meanings.out;
    return {};
  }
  function->pointer_arg = meanings.ptr;
  if (returns_block) {
    if (meanings.size == 0) return "an allocation needs a size";
    function->call = meanings.ptr != 0 ? TR_CALL_REALLOC : TR_CALL_ALLOC;
    return {};
  }
  if (meanings.ptr == 0 || meanings.size != 0) return "neither an allocation (->ptr, or out) nor a free (ptr alone)";
  function->call = TR_CALL_FREE;
  return {};
}

bool is_name(std::string_view name) {
  return !name.empty() && std::ranges::none_of(name, [](char c) { return c <= ' ' || c == ',' || c == ')'; });
}

}  // namespace

Result<Function> parse_allocator(std::string_view text) {
  Function function;
  function.family = Family::kOwn;
  const std::size_t open = text.find('(');
  const std::size_t close = text.find(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open)
    return bad(text, "no arguments in parentheses");
  std::string_view name = trimmed(text.substr(0, open));
  if (const std::size_t colon = name.rfind(':'); colon != std::string_view::npos) {
    function.file = std::string(trimmed(name.substr(0, colon)));
    name = trimmed(name.substr(colon + 1));
    if (function.file.empty()) return bad(text, "no file in front of the colon");
  }
  if (!is_name(name)) return bad(text, "no function name");
  function.name = std::string(name);

  Meanings meanings;
  std::string_view arguments = text.substr(open + 1, close - open - 1);
  while (!arguments.empty()) {
    const std::string_view argument = take_until(&arguments, ',');
    if (const std::string why = read_meaning(argument, &meanings); !why.empty()) return bad(text, why);
  }

  constexpr std::string_view kResult = "->ptr";
  constexpr std::string_view kNoexcept = "noexcept";
  std::string_view rest = trimmed(text.substr(close + 1));
  const bool returns_block = rest.starts_with(kResult);
  if (returns_block) rest = trimmed(rest.substr(kResult.size()));
  function.may_throw = rest != kNoexcept;
  if (!rest.empty() && rest != kNoexcept) return bad(text, fmt::format("'{}' is neither '->ptr' nor 'noexcept'", rest));
  if (const std::string why = classify(meanings, returns_block, &function); !why.empty()) return bad(text, why);
  return function;
}

Result<std::vector<Function>> parse_allocators(std::string_view name, std::string_view text) {
  std::vector<Function> functions;
  for (int line = 1; !text.empty(); ++line) {
    std::string_view rest = take_until(&text, '\n');
    const std::string_view words = take_until(&rest, '#');
    if (words.empty()) continue;
    Result<Function> function = parse_allocator(words);
    if (!function) return std::move(function).error().in_context(fmt::format("{}:{}", name, line));
    functions.push_back(std::move(*function));
  }
  return functions;
}

}  // namespace tracer::tracing
