#include "core/blocks.hpp"

#include "dnas/search/candidate.hpp"

namespace dnas::search::family::candidates {
namespace {

class SepConv5x5 final : public Candidate {
 protected:
  std::optional<engine::ValueId> do_append(engine::Graph& graph, engine::ValueId x,
                                           const CandidateSite& site) const override {
    return sep_conv(graph, x, site, 5);
  }
};

}  // namespace

void register_sep_conv_5x5(Registry<Component<Candidate>>& registry) {
  registry.add({.name = "sep_conv_5x5",
                .help = "depthwise-separable 5x5 convolution, applied twice",
                .source = "Liu et al. 2019, arXiv:1806.09055",
                .defaults = {},
                .make = [](const Options&) { return std::make_unique<SepConv5x5>(); }});
}

}  // namespace dnas::search::family::candidates
