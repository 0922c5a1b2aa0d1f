#include "dnas/kernels/error.hpp"
#include "dnas/search/transform.hpp"

#include <fmt/format.h>

namespace dnas::search::family::transforms {
namespace {

/// The first 1/k of an edge's channels pass through its candidates, which are built at that width; the others bypass
/// them, through a 2x2 maximum where the stride is 2. A shuffle of the channels in k groups follows each node, so that
/// the next edge finds others in front. All of it is in MixedOperations; the released code takes the first channels
/// too, where the paper speaks of random ones.
class PartialChannel final : public Transform {
 public:
  explicit PartialChannel(std::int64_t k) : k_(k) {}
  [[nodiscard]] std::int64_t channel_divisor() const override { return k_; }

 private:
  std::int64_t k_;
};

}  // namespace

void register_partial_channel(Registry<Component<Transform>>& registry) {
  registry.add({.name = "partial_channel",
                .help = "only the first 1/k of the channels pass through the candidates of an edge",
                .source = "Xu et al. 2020 (PC-DARTS), arXiv:1907.05737",
                .defaults = {{"k", std::int64_t{4}}},
                .make = [](const Options& options) -> std::unique_ptr<Transform> {
                  const std::int64_t k = options.integer("k");
                  if (k < 2) throw ConfigError(fmt::format("partial_channel: k is {}, expected 2 or more", k));
                  return std::make_unique<PartialChannel>(k);
                }});
}

}  // namespace dnas::search::family::transforms
