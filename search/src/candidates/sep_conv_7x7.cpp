#include "core/blocks.hpp"

#include "dnas/search/candidate.hpp"

namespace dnas::search::family::candidates {
namespace {

class SepConv7x7 final : public Candidate {
 protected:
  std::optional<engine::ValueId> do_append(engine::Graph& graph, engine::ValueId x,
                                           const CandidateSite& site) const override {
    return sep_conv(graph, x, site, 7);
  }
};

}  // namespace

void register_sep_conv_7x7(Registry<Component<Candidate>>& registry) {
  registry.add({.name = "sep_conv_7x7",
                .help = "depthwise-separable 7x7 convolution, applied twice",
                .source = "Zoph et al. 2018, arXiv:1707.07012; only in published cells",
                .defaults = {},
                .make = [](const Options&) { return std::make_unique<SepConv7x7>(); }});
}

}  // namespace dnas::search::family::candidates
