#include "core/blocks.hpp"

#include "dnas/engine/nodes.hpp"
#include "dnas/search/candidate.hpp"

namespace dnas::search::family::candidates {
namespace {

class MaxPool3x3 final : public Candidate {
 protected:
  std::optional<engine::ValueId> do_append(engine::Graph& graph, engine::ValueId x,
                                           const CandidateSite& site) const override {
    return pool_norm(graph, engine::nodes::max_pool(graph, x, {.kernel = 3, .stride = site.stride, .padding = 1}),
                     site);
  }
};

}  // namespace

void register_max_pool_3x3(Registry<Component<Candidate>>& registry) {
  registry.add({.name = "max_pool_3x3",
                .help = "maximum over 3x3 windows",
                .source = "Liu et al. 2019, arXiv:1806.09055",
                .defaults = {},
                .make = [](const Options&) { return std::make_unique<MaxPool3x3>(); }});
}

}  // namespace dnas::search::family::candidates
