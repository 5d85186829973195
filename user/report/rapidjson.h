// SPDX-License-Identifier: Apache-2.0
// RapidJSON, as far as it is used here. Where its stack is empty it adds to a null pointer (internal/stack.h), which
// does no harm and is nothing for sanitizers to stop at.
#pragma once

#if defined(__clang__)
#pragma clang attribute push(__attribute__((no_sanitize("pointer-overflow"))), apply_to = function)
#endif
#include <rapidjson/document.h>
#include <rapidjson/error/en.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#if defined(__clang__)
#pragma clang attribute pop
#endif
