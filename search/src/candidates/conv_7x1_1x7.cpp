#include "dnas/engine/nodes.hpp"
#include "dnas/search/candidate.hpp"

namespace dnas::search::family::candidates {
namespace {

class Conv7x1 final : public Candidate {
 protected:
  std::optional<engine::ValueId> do_append(engine::Graph& graph, engine::ValueId x,
                                           const CandidateSite& site) const override {
    engine::ValueId y = engine::nodes::relu(graph, x);
    y = engine::nodes::conv(
        graph, y, site.name + ".1", site.channels,
        {.kernel_h = 1, .kernel_w = 7, .stride_h = 1, .stride_w = site.stride, .padding_h = 0, .padding_w = 3});
    y = engine::nodes::conv(
        graph, y, site.name + ".2", site.channels,
        {.kernel_h = 7, .kernel_w = 1, .stride_h = site.stride, .stride_w = 1, .padding_h = 3, .padding_w = 0});
    return engine::nodes::batch_norm(graph, y, site.name + ".3", site.affine);
  }
};

}  // namespace

void register_conv_7x1_1x7(Registry<Component<Candidate>>& registry) {
  registry.add({.name = "conv_7x1_1x7",
                .help = "1x7 convolution followed by a 7x1 convolution",
                .source = "Real et al. 2019, arXiv:1802.01548; only in published cells",
                .defaults = {},
                .make = [](const Options&) { return std::make_unique<Conv7x1>(); }});
}

}  // namespace dnas::search::family::candidates
