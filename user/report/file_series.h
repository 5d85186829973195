// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "report/file_name.h"
#include "report/output.h"

namespace tracer::report {

/// A file for each snapshot, named by its number. Each appears when it is whole. Fails at once when none can be made.
Result<std::unique_ptr<FileOutput>> open_file_series(const std::string& path, std::shared_ptr<const NameFacts> facts);

}  // namespace tracer::report
