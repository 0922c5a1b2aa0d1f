#pragma once

#include "dnas/engine/graph.hpp"

#include <cstdint>

namespace dnas::search {

/// Where the random nodes of a network get their keys: one graph input "random" [2] i64 {seed, draw}, declared when
/// first asked for, and a number for each place that draws.
class RandomSource {
 public:
  explicit RandomSource(engine::Graph& graph) : graph_(&graph) {}

  [[nodiscard]] engine::ValueId input() {
    if (input_ == engine::no_value) input_ = graph_->input("random", {Shape{2}, DType::i64});
    return input_;
  }

  /// Numbers must not depend on what runs: a place calls this whether it then draws or not.
  [[nodiscard]] std::int64_t next_site() noexcept { return sites_++; }

 private:
  engine::Graph* graph_;
  engine::ValueId input_ = engine::no_value;
  std::int64_t sites_ = 0;
};

}  // namespace dnas::search
