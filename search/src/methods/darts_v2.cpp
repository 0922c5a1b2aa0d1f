#include "dnas/search/method.hpp"

namespace dnas::search::family::methods {

void register_darts_v2(Registry<Method>& registry) {
  registry.add({.name = "darts-v2",
                .help = "DARTS, second order (unrolled)",
                .source = "Liu, Simonyan and Yang 2019, arXiv:1806.09055",
                .defaults = {.method = "darts-v2",
                             .space = "darts",
                             .relaxation = "softmax",
                             .edge_weighting = "sum",
                             .bilevel = "unrolled",
                             .arch_optimizer = "adam",
                             .controllers = "cosine",
                             .discretisation = "top2"}});
}

}  // namespace dnas::search::family::methods
