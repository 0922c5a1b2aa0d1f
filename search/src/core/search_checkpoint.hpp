#pragma once

#include "core/accuracy.hpp"
#include "core/session.hpp"

#include "dnas/engine/checkpoint.hpp"

#include <cstdint>
#include <string>

namespace dnas::search {

/// Where a search stands between two steps. With the session's tensors this is all a resumed run needs.
struct Progress {
  std::int64_t epoch = 0;
  std::int64_t step = 0;  ///< within the epoch
  std::int64_t global_step = 0;
  Meter train;  ///< of the epoch so far
  double valid_top1 = 0.0;
  std::uint64_t metrics_lines = 0;
  std::uint64_t log_lines = 0;
  std::string stopped_with;  ///< genotype.json of a search that a controller has ended; empty: it goes on
};

/// Writes session and progress as a checkpoint. Its bytes depend on nothing but the course of the search.
void save_checkpoint(engine::CheckpointStore& store, Session& session, const Progress& progress);

/// Restores the session. @throws DataError naming what does not fit; ConfigError listing settings that differ
Progress load_checkpoint(const engine::CheckpointStore::Loaded& checkpoint, Session& session);

}  // namespace dnas::search
