#include "dnas/search/candidate.hpp"

namespace dnas::search::family::candidates {
namespace {

class None final : public Candidate {
 protected:
  std::optional<engine::ValueId> do_append(engine::Graph&, engine::ValueId, const CandidateSite&) const override {
    return std::nullopt;
  }
};

}  // namespace

void register_none(Registry<Component<Candidate>>& registry) {
  registry.add({.name = "none",
                .help = "no connection: takes its share of the weights and contributes nothing",
                .source = "Liu et al. 2019, arXiv:1806.09055",
                .defaults = {},
                .make = [](const Options&) { return std::make_unique<None>(); }});
}

}  // namespace dnas::search::family::candidates
