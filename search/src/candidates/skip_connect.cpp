#include "core/blocks.hpp"

#include "dnas/search/candidate.hpp"

namespace dnas::search::family::candidates {
namespace {

class SkipConnect final : public Candidate {
 protected:
  std::optional<engine::ValueId> do_append(engine::Graph& graph, engine::ValueId x,
                                           const CandidateSite& site) const override {
    if (site.stride == 1) return x;
    return factorized_reduce(graph, x, site.name, site.channels, site.affine);
  }
};

}  // namespace

void register_skip_connect(Registry<Component<Candidate>>& registry) {
  registry.add({.name = "skip_connect",
                .help = "identity; a factorised reduction where the stride is 2",
                .source = "Liu et al. 2019, arXiv:1806.09055",
                .defaults = {},
                .make = [](const Options&) { return std::make_unique<SkipConnect>(); }});
}

}  // namespace dnas::search::family::candidates
