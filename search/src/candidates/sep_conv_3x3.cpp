#include "core/blocks.hpp"

#include "dnas/search/candidate.hpp"

namespace dnas::search::family::candidates {
namespace {

class SepConv3x3 final : public Candidate {
 protected:
  std::optional<engine::ValueId> do_append(engine::Graph& graph, engine::ValueId x,
                                           const CandidateSite& site) const override {
    return sep_conv(graph, x, site, 3);
  }
};

}  // namespace

void register_sep_conv_3x3(Registry<Component<Candidate>>& registry) {
  registry.add({.name = "sep_conv_3x3",
                .help = "depthwise-separable 3x3 convolution, applied twice",
                .source = "Liu et al. 2019, arXiv:1806.09055",
                .defaults = {},
                .make = [](const Options&) { return std::make_unique<SepConv3x3>(); }});
}

}  // namespace dnas::search::family::candidates
