// SPDX-License-Identifier: Apache-2.0
#include "report/file_series.h"

#include <utility>

namespace tracer::report {
namespace {

class FileSeries : public FileOutput {
 public:
  FileSeries(std::string path, std::shared_ptr<const NameFacts> facts, std::unique_ptr<FileOutput> first)
      : path_(std::move(path)), facts_(std::move(facts)), file_(std::move(first)) {}

  bool keeps_each_snapshot() const override { return true; }

  Result<void> write(std::string_view bytes) override {
    if (!file_) {
      Result<std::unique_ptr<FileOutput>> next = FileOutput::open(path_);
      if (!next) return std::move(next).error();
      file_ = std::move(*next);
    }
    return file_->write(bytes);
  }

  Result<void> end_snapshot(std::uint64_t seq) override {
    if (!file_) return {};
    file_->rename_to(expand_file_name(path_, *facts_, seq));
    return std::exchange(file_, nullptr)->commit();
  }

  /// What is not the whole of a snapshot gets no name.
  Result<void> commit() override { return {}; }

 private:
  std::string path_;
  std::shared_ptr<const NameFacts> facts_;
  std::unique_ptr<FileOutput> file_;  ///< of the next snapshot; nothing until it is written to
};

}  // namespace

Result<std::unique_ptr<FileOutput>> open_file_series(const std::string& path, std::shared_ptr<const NameFacts> facts) {
  // The first file stands for all: if it can be made, the others can, too.
  Result<std::unique_ptr<FileOutput>> first = FileOutput::open(path);
  if (!first) return first;
  return std::unique_ptr<FileOutput>(std::make_unique<FileSeries>(path, std::move(facts), std::move(*first)));
}

}  // namespace tracer::report
