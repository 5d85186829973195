// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "elf/elf_image.h"
#include "library/file_identity.h"

namespace tracer::library {

/// The life of a library. "Known", "inspected", "armed" and "gone" are different things, and nothing infers one from
/// another.
///
///     Seen ──► Inspected ──► Armed ◄──► Disarmed ──► Retired ──► Seen (mapped again)
///       │          │           └───────────────────────▲
///       └──────────┴───────────────────────────────────┘
enum class State : std::uint8_t {
  kSeen,       ///< a live mapping was found and its file opened
  kInspected,  ///< the ELF file was read: what it defines is known
  kArmed,      ///< probes are attached
  kDisarmed,   ///< probes could be attached, and are not
  kRetired,    ///< no live mapping: no probe, no open file; its names are kept for the stacks that mention it
};
const char* state_name(State state);

/// Whether the state machine has this arrow.
bool is_allowed(State from, State to);

/// One file content, and what we have done with it.
///
/// Changes state through advance() only; an arrow that the diagram lacks aborts, because it means that our books are
/// wrong. Owned by the LibraryCache; used by the session thread.
class Library {
 public:
  Library(std::uint32_t module_id, FileIdentity identity, std::string path, UniqueFd file)
      : module_id_(module_id), identity_(identity), path_(std::move(path)), file_(std::move(file)) {}

  /// Number under which stacks mention it; the same in each of its lives.
  std::uint32_t module_id() const { return module_id_; }
  const FileIdentity& identity() const { return identity_; }
  /// As the mapping showed it when it was last seen; for people only.
  const std::string& path() const { return path_; }
  State state() const { return state_; }
  /// Valid until it is retired.
  const UniqueFd& file() const { return file_; }
  /// Present from kInspected on; kept when retired. Absent for ever when the file is no ELF file.
  const std::optional<elf::ElfImage>& image() const { return image_; }
  /// False for one that was gone before its file could be opened.
  bool was_inspected() const { return was_inspected_; }

  void advance(State to);
  /// kSeen → kInspected.
  void inspected(std::optional<elf::ElfImage> image);
  /// → kRetired: closes the file.
  void retire();
  /// kRetired → kSeen: the same content is mapped once more, perhaps under another name.
  void see_again(const FileIdentity& identity, const std::string& path, UniqueFd file);

  /// Live mappings that show it, over all processes.
  int live_mappings = 0;

 private:
  std::uint32_t module_id_;
  FileIdentity identity_;
  std::string path_;
  State state_ = State::kSeen;
  bool was_inspected_ = false;
  UniqueFd file_;
  std::optional<elf::ElfImage> image_;
};

}  // namespace tracer::library
