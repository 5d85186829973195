// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "report/report.h"

namespace tracer::report {

/// Standard output; the descriptor is not closed. A closed pipe is an error with errno EPIPE (SIGPIPE is ignored by
/// main).
std::unique_ptr<Output> make_stdout_output();

/// A file that appears under its name only when it is whole: written beside it under a temporary name and renamed
/// by commit(). Without commit() the temporary file is removed.
class FileOutput : public Output {
 public:
  /// Fails at once when the directory is missing or not writable, so that no trace is taken in vain.
  /// `path` may have place-holders (file_name.h); a whole name that has is given by rename_to() before commit().
  static Result<std::unique_ptr<FileOutput>> open(const std::string& path);
  /// Another name in the same folder; means nothing where no file is replaced.
  virtual void rename_to(const std::string& /*path*/) {}
  virtual Result<void> commit() = 0;
};

}  // namespace tracer::report
