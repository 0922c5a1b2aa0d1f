#pragma once

#include "dnas/engine/graph.hpp"
#include "dnas/search/component.hpp"
#include "dnas/search/random_source.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace dnas::search {

/// Where a candidate operation is placed.
struct CandidateSite {
  std::string name;  ///< state_dict prefix of the operation: "cells.0._ops.3._ops.4"
  std::int64_t channels = 0;
  std::int64_t out_channels = 0;  ///< 0: as many as come in
  int stride = 1;
  bool affine = false;             ///< affine batch norm (evaluation) or not (search)
  bool pool_norm = false;          ///< batch norm after pooling (search)
  RandomSource* random = nullptr;  ///< for operations that draw
};

/// One operation that an edge may carry. Maps [N, H, W, C] to [N, H/stride, W/stride, C].
class Candidate {
 public:
  virtual ~Candidate() = default;

  /// Appends its nodes to the graph. std::nullopt: contributes nothing (none).
  /// @throws ShapeError where the operation does not fit (a stride of 2 on an odd extent, odd channels ...)
  [[nodiscard]] std::optional<engine::ValueId> append(engine::Graph& graph, engine::ValueId x,
                                                      const CandidateSite& site) const;

 protected:
  virtual std::optional<engine::ValueId> do_append(engine::Graph& graph, engine::ValueId x,
                                                   const CandidateSite& site) const = 0;
};

void register_candidates(Registry<Component<Candidate>>& registry);
[[nodiscard]] const Registry<Component<Candidate>>& candidates();

}  // namespace dnas::search
