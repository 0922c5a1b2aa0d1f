#include "dnas/search/arch_optimizer.hpp"

namespace dnas::search::family::arch_optimizers {

namespace {

/// Alpha stays as it started: a search of the weights alone, for what decides without alpha. Updates are counted.
class None final : public ArchOptimizer {
 public:
  [[nodiscard]] std::vector<State> state() override { return {}; }

 protected:
  void do_prepare(std::size_t /*count*/) override {}
  void do_update(const Context& /*ctx*/, const Settings& /*settings*/, std::int64_t /*step*/,
                 std::span<const float> /*gradient*/, std::span<float> /*parameters*/) override {}
};

}  // namespace

void register_none(Registry<Component<ArchOptimizer>>& registry) {
  registry.add({.name = "none",
                .help = "alpha is not updated",
                .source = "Wang et al. 2021 (DARTS-PT), arXiv:2108.04392: the variants with fixed alpha",
                .defaults = {},
                .make = [](const Options&) -> std::unique_ptr<ArchOptimizer> { return std::make_unique<None>(); }});
}

}  // namespace dnas::search::family::arch_optimizers
