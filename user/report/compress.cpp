// SPDX-License-Identifier: Apache-2.0
#include "report/compress.h"

#include <zlib.h>
#include <zstd.h>

#include <array>
#include <cstddef>

namespace tracer::report {
namespace {

constexpr std::size_t kBlock = 1 << 16;
constexpr int kGzip = 15 + 16;  // windowBits of deflateInit2(): the largest window, a gzip header

class GzipOutput : public CompressedOutput {
 public:
  explicit GzipOutput(Output& target) : target_(target) {
    TRACER_CHECK(::deflateInit2(&stream_, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  }
  ~GzipOutput() override { ::deflateEnd(&stream_); }

  Result<void> write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const std::string_view part = bytes.substr(0, kBlock);  // zlib counts with 32 bits
      bytes.remove_prefix(part.size());
      if (Result<void> done = compress(part, Z_NO_FLUSH); !done) return done;
    }
    return {};
  }
  Result<void> finish() override { return compress({}, Z_FINISH); }

 private:
  Result<void> compress(std::string_view bytes, int flush) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream_.avail_in = static_cast<uInt>(bytes.size());
    do {
      stream_.next_out = reinterpret_cast<Bytef*>(buffer_.data());
      stream_.avail_out = static_cast<uInt>(buffer_.size());
      TRACER_CHECK(::deflate(&stream_, flush) != Z_STREAM_ERROR);
      const std::string_view ready(buffer_.data(), buffer_.size() - stream_.avail_out);
      if (ready.empty()) break;
      if (Result<void> done = target_.write(ready); !done) return done;
    } while (stream_.avail_out == 0);
    return {};
  }

  Output& target_;
  z_stream stream_{};
  std::array<char, kBlock> buffer_;
};

struct FreeZstd {
  void operator()(ZSTD_CCtx* context) const { ::ZSTD_freeCCtx(context); }
};

class ZstdOutput : public CompressedOutput {
 public:
  explicit ZstdOutput(Output& target) : target_(target), context_(::ZSTD_createCCtx()) {
    TRACER_CHECK(context_ != nullptr);
  }
  Result<void> write(std::string_view bytes) override { return compress(bytes, ZSTD_e_continue); }
  Result<void> finish() override { return compress({}, ZSTD_e_end); }

 private:
  Result<void> compress(std::string_view bytes, ZSTD_EndDirective directive) {
    ZSTD_inBuffer input{bytes.data(), bytes.size(), 0};
    for (bool more = true; more;) {
      ZSTD_outBuffer ready{buffer_.data(), buffer_.size(), 0};
      const std::size_t left = ::ZSTD_compressStream2(context_.get(), &ready, &input, directive);
      TRACER_CHECK(::ZSTD_isError(left) == 0);
      more = directive == ZSTD_e_end ? left != 0 : input.pos < input.size;
      if (ready.pos == 0) continue;
      if (Result<void> done = target_.write({buffer_.data(), ready.pos}); !done) return done;
    }
    return {};
  }

  Output& target_;
  std::unique_ptr<ZSTD_CCtx, FreeZstd> context_;
  std::array<char, kBlock> buffer_;
};

}  // namespace

std::unique_ptr<CompressedOutput> make_gzip_output(Output& target) { return std::make_unique<GzipOutput>(target); }
std::unique_ptr<CompressedOutput> make_zstd_output(Output& target) { return std::make_unique<ZstdOutput>(target); }

}  // namespace tracer::report
