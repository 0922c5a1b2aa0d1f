#include "core/blocks.hpp"

#include "dnas/search/candidate.hpp"

namespace dnas::search::family::candidates {
namespace {

class DilConv5x5 final : public Candidate {
 protected:
  std::optional<engine::ValueId> do_append(engine::Graph& graph, engine::ValueId x,
                                           const CandidateSite& site) const override {
    return dil_conv(graph, x, site, 5);
  }
};

}  // namespace

void register_dil_conv_5x5(Registry<Component<Candidate>>& registry) {
  registry.add({.name = "dil_conv_5x5",
                .help = "depthwise-separable 5x5 convolution of dilation 2",
                .source = "Liu et al. 2019, arXiv:1806.09055",
                .defaults = {},
                .make = [](const Options&) { return std::make_unique<DilConv5x5>(); }});
}

}  // namespace dnas::search::family::candidates
