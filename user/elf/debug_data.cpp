// SPDX-License-Identifier: Apache-2.0
#include "elf/debug_data.h"

#include <fmt/format.h>
#include <lzma.h>

#include <algorithm>
#include <cstdint>
#include <memory>

namespace tracer::elf {
namespace {

constexpr std::uint64_t kDecoderMemoryBytes = 128ull << 20;  // xz -9 needs 65 MiB
constexpr std::size_t kStepBytes = 256 * 1024;

struct End {
  void operator()(lzma_stream* stream) const { lzma_end(stream); }
};

}  // namespace

Result<std::vector<char>> decompress_xz(std::span<const char> packed, std::size_t max_bytes) {
  lzma_stream stream = LZMA_STREAM_INIT;
  std::unique_ptr<lzma_stream, End> end(&stream);
  lzma_ret status = lzma_stream_decoder(&stream, kDecoderMemoryBytes, 0);
  stream.next_in = reinterpret_cast<const std::uint8_t*>(packed.data());
  stream.avail_in = packed.size();
  std::vector<char> unpacked;
  while (status == LZMA_OK) {
    const std::size_t done = unpacked.size();
    if (done == max_bytes) return Error(ErrorKind::kCorrupt, fmt::format("xz: more than {} bytes", max_bytes));
    unpacked.resize(std::min(max_bytes, done + std::max(done, kStepBytes)));
    stream.next_out = reinterpret_cast<std::uint8_t*>(unpacked.data() + done);
    stream.avail_out = unpacked.size() - done;
    // FINISH: there is no more input, so a stream that is cut short is an error rather than a wait.
    status = lzma_code(&stream, LZMA_FINISH);
    unpacked.resize(unpacked.size() - stream.avail_out);
  }
  if (status != LZMA_STREAM_END) {
    return Error(ErrorKind::kCorrupt, fmt::format("xz: liblzma error {}", static_cast<int>(status)));
  }
  return unpacked;
}

}  // namespace tracer::elf
