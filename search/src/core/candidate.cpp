#include "dnas/search/candidate.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

namespace dnas::search {

std::optional<engine::ValueId> Candidate::append(engine::Graph& graph, engine::ValueId x,
                                                 const CandidateSite& site) const {
  const Shape& shape = graph.shape(x);
  if (shape.rank() != 4 || shape[-1] != site.channels) {
    throw ShapeError(
        fmt::format("{}: input is {}, expected [N, H, W, {}]", site.name, shape.to_string(), site.channels));
  }
  if (site.stride != 1 && site.stride != 2) {
    throw ShapeError(fmt::format("{}: stride is {}, expected 1 or 2", site.name, site.stride));
  }
  if (site.stride == 2 && (shape[1] % 2 != 0 || shape[2] % 2 != 0)) {
    throw ShapeError(fmt::format("{}: input of a stride of 2 is {} x {}, expected even height and width", site.name,
                                 shape[1], shape[2]));
  }
  return do_append(graph, x, site);
}

}  // namespace dnas::search
