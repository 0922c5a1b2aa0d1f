#pragma once

#include "dnas/engine/graph.hpp"
#include "dnas/search/candidate.hpp"
#include "dnas/search/component.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

namespace dnas::search {

/// What the mixed operation itself is changed to during a search. Several may be active; they wrap in their order.
/// Every function that appends to a graph is called for the same places in the same order, whatever runs.
class Transform {
 public:
  virtual ~Transform() = default;

  /// What a transform may read besides the value it wraps.
  struct Inputs {
    engine::ValueId rate = engine::no_value;  ///< [1] f32: rate() of the present epoch; no_value without one
    engine::ValueId random = engine::no_value;
    std::int64_t site = 0;  ///< of the random draw
  };

  /// A number that changes with the epoch (a probability, a coefficient), epochs counted from 0. std::nullopt: none.
  [[nodiscard]] virtual std::optional<double> rate(std::int64_t /*epoch*/, std::int64_t /*epochs*/) const {
    return std::nullopt;
  }
  /// Whether its nodes draw random numbers.
  [[nodiscard]] virtual bool draws() const { return false; }

  /// Only the first 1/divisor of an edge's channels pass through its candidates; the others bypass them.
  [[nodiscard]] virtual std::int64_t channel_divisor() const { return 1; }

  /// Whether each edge gets a term outside its candidates, with rate() as its coefficient.
  [[nodiscard]] virtual bool adds_term() const { return false; }
  [[nodiscard]] virtual std::optional<engine::ValueId> append_term(engine::Graph& graph, engine::ValueId x,
                                                                   const CandidateSite& site) const;

  /// Whether it wraps the results of this candidate, and how.
  [[nodiscard]] virtual bool wraps_candidate(std::string_view /*candidate*/) const { return false; }
  [[nodiscard]] virtual engine::ValueId wrap_candidate(engine::Graph& graph, engine::ValueId y,
                                                       const Inputs& inputs) const;

  /// Whether it wraps the mixed result of each edge, which then is computed on its own, and how.
  [[nodiscard]] virtual bool wraps_edge() const { return false; }
  [[nodiscard]] virtual engine::ValueId wrap_edge(engine::Graph& graph, engine::ValueId y, const Inputs& inputs) const;
};

/// The transforms of a search, in their order.
using Transforms = std::span<const std::unique_ptr<const Transform>>;

/// Product of the channel divisors.
[[nodiscard]] std::int64_t channel_divisor(Transforms transforms);
/// Mixing weights that an edge has besides those of its candidates: one of the bypassed channels if there are any, then
/// one of each term that a transform adds.
[[nodiscard]] std::int64_t extra_columns(Transforms transforms);

void register_transforms(Registry<Component<Transform>>& registry);
[[nodiscard]] const Registry<Component<Transform>>& transforms();

}  // namespace dnas::search
