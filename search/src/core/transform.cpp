#include "dnas/search/transform.hpp"

#include "dnas/kernels/error.hpp"

namespace dnas::search {

std::optional<engine::ValueId> Transform::append_term(engine::Graph& /*graph*/, engine::ValueId /*x*/,
                                                      const CandidateSite& /*site*/) const {
  throw UnsupportedError("transform: it adds no term");
}

engine::ValueId Transform::wrap_candidate(engine::Graph& /*graph*/, engine::ValueId /*y*/,
                                          const Inputs& /*inputs*/) const {
  throw UnsupportedError("transform: it wraps no candidate");
}

engine::ValueId Transform::wrap_edge(engine::Graph& /*graph*/, engine::ValueId /*y*/, const Inputs& /*inputs*/) const {
  throw UnsupportedError("transform: it wraps no edge");
}

std::int64_t channel_divisor(Transforms transforms) {
  std::int64_t divisor = 1;
  for (const auto& transform : transforms)
    divisor *= transform->channel_divisor();
  return divisor;
}

std::int64_t extra_columns(Transforms transforms) {
  std::int64_t columns = channel_divisor(transforms) > 1 ? 1 : 0;
  for (const auto& transform : transforms)
    columns += transform->adds_term() ? 1 : 0;
  return columns;
}

}  // namespace dnas::search
