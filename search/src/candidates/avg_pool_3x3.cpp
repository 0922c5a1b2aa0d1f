#include "core/blocks.hpp"

#include "dnas/engine/nodes.hpp"
#include "dnas/search/candidate.hpp"

namespace dnas::search::family::candidates {
namespace {

class AvgPool3x3 final : public Candidate {
 protected:
  std::optional<engine::ValueId> do_append(engine::Graph& graph, engine::ValueId x,
                                           const CandidateSite& site) const override {
    return pool_norm(graph, engine::nodes::avg_pool(graph, x, {.kernel = 3, .stride = site.stride, .padding = 1}),
                     site);
  }
};

}  // namespace

void register_avg_pool_3x3(Registry<Component<Candidate>>& registry) {
  registry.add({.name = "avg_pool_3x3",
                .help = "mean over 3x3 windows, padding not counted",
                .source = "Liu et al. 2019, arXiv:1806.09055",
                .defaults = {},
                .make = [](const Options&) { return std::make_unique<AvgPool3x3>(); }});
}

}  // namespace dnas::search::family::candidates
