#include "core/cell_space.hpp"

namespace dnas::search::family::spaces {

void register_darts7(Registry<Component<Space>>& registry) {
  registry.add({.name = "darts7",
                .help = "the DARTS space without the candidate none",
                .source = "Chu et al. 2020 (FairDARTS), arXiv:1911.12126; also SDARTS and DrNAS",
                .defaults = {},
                .make = [](const Options&) {
                  // The order is that of the columns of alpha in files.
                  const EdgeCandidates edges =
                      on_every_edge({"max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5",
                                     "dil_conv_3x3", "dil_conv_5x5"});
                  return std::make_unique<CellSpace>(edges, edges);
                }});
}

}  // namespace dnas::search::family::spaces
