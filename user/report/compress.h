// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "report/report.h"

namespace tracer::report {

/// Passes on what is written to it in compressed form. The same bytes in, the same bytes out: no times, no names.
class CompressedOutput : public Output {
 public:
  /// Passes on the rest; nothing is written after it.
  virtual Result<void> finish() = 0;
};

/// RFC 1952. `target` outlives it.
std::unique_ptr<CompressedOutput> make_gzip_output(Output& target);
/// RFC 8878.
std::unique_ptr<CompressedOutput> make_zstd_output(Output& target);

}  // namespace tracer::report
