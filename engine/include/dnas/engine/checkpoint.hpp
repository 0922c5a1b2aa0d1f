#pragma once

#include "dnas/engine/safetensors.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace dnas::engine {

/// The tensors of one file of a checkpoint ("model", "arch", "optim" ...).
struct CheckpointPart {
  std::string name;  ///< file stem
  std::vector<TensorToWrite> tensors;
};

/// Checkpoints of a run: folders `ckpt-<step, 9 digits>` with one safetensors file per part and a manifest.json with
/// schema, step, the caller's state (JSON text), and length and XXH3-128 of every file.
///
/// A checkpoint is written to `ckpt-<step>.tmp`, every file and the folder fsynced, then renamed: it is there whole or
/// not at all. Same content, same bytes.
class CheckpointStore {
 public:
  /// @param keep  how many of the newest to keep; older ones are removed after a successful write. >= 1
  CheckpointStore(std::filesystem::path folder, int keep);

  /// @param state  a JSON object of the caller's: counters, configuration
  /// @throws IoError (the previous checkpoints stay as they were)
  void write(std::int64_t step, const std::vector<CheckpointPart>& parts, const std::string& state);

  /// A checkpoint that passed all checks.
  struct Loaded {
    std::int64_t step = 0;
    std::string state;
    std::filesystem::path folder;
    /// Opens a part. @throws DataError if the checkpoint has no such part
    [[nodiscard]] SafetensorsReader part(const std::string& name) const;
  };

  /// The newest checkpoint that is whole. Damaged newer ones are reported in `damaged` (what and why) and skipped.
  /// std::nullopt if there is none at all. @throws DataError if there are checkpoints but every one is damaged
  [[nodiscard]] std::optional<Loaded> newest(std::vector<std::string>& damaged) const;

  /// A named checkpoint folder. @throws MissingError, DataError
  [[nodiscard]] static Loaded open(const std::filesystem::path& folder);

 private:
  std::filesystem::path folder_;
  int keep_;
};

}  // namespace dnas::engine
