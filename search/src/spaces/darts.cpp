#include "core/cell_space.hpp"

namespace dnas::search::family::spaces {

void register_darts(Registry<Component<Space>>& registry) {
  registry.add({.name = "darts",
                .help = "the DARTS space: eight candidates on each of the 14 edges of a cell",
                .source = "Liu et al. 2019, arXiv:1806.09055",
                .defaults = {},
                .make = [](const Options&) {
                  // The order is that of the columns of alpha in files.
                  const EdgeCandidates edges =
                      on_every_edge({"none", "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3",
                                     "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"});
                  return std::make_unique<CellSpace>(edges, edges);
                }});
}

}  // namespace dnas::search::family::spaces
