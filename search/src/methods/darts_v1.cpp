#include "dnas/search/method.hpp"

namespace dnas::search::family::methods {

void register_darts_v1(Registry<Method>& registry) {
  registry.add({.name = "darts-v1",
                .help = "DARTS, first order",
                .source = "Liu, Simonyan and Yang 2019, arXiv:1806.09055",
                .defaults = {.method = "darts-v1",
                             .space = "darts",
                             .relaxation = "softmax",
                             .edge_weighting = "sum",
                             .bilevel = "alternating",
                             .arch_optimizer = "adam",
                             .controllers = "cosine",
                             .discretisation = "top2"}});
}

}  // namespace dnas::search::family::methods
