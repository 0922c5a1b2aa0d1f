#include "dnas/kernels/error.hpp"
#include "dnas/search/transform.hpp"

#include <fmt/format.h>

#include <cmath>
#include <numbers>

namespace dnas::search::family::transforms {
namespace {

enum class Decay : std::uint8_t { linear, cosine, slow_cosine };

/// Each edge gets a term beta(e) * skip(x) besides its candidates: the identity, or a factorised reduction with weights
/// of its own where the stride is 2. It is no candidate: nothing that counts or chooses them sees it.
///
///   beta(e) = 1 - e/E  (linear),  (1 + cos(pi e/E)) / 2  (cosine),  cos(pi e/(2E))  (slow_cosine)
class AuxiliarySkip final : public Transform {
 public:
  explicit AuxiliarySkip(Decay decay) : decay_(decay) {}

  [[nodiscard]] std::optional<double> rate(std::int64_t epoch, std::int64_t epochs) const override {
    const double part = static_cast<double>(epoch) / static_cast<double>(epochs);
    switch (decay_) {
      case Decay::linear:
        return 1.0 - part;
      case Decay::cosine:
        return 0.5 * (1.0 + std::cos(std::numbers::pi * part));
      case Decay::slow_cosine:
        return std::cos(0.5 * std::numbers::pi * part);
    }
    return std::nullopt;
  }
  [[nodiscard]] bool adds_term() const override { return true; }
  [[nodiscard]] std::optional<engine::ValueId> append_term(engine::Graph& graph, engine::ValueId x,
                                                           const CandidateSite& site) const override {
    return make_part(candidates(), PartChoice{.name = "skip_connect", .options = {}})->append(graph, x, site);
  }

 private:
  Decay decay_;
};

Decay decay_of(const std::string& name) {
  if (name == "linear") return Decay::linear;
  if (name == "cosine") return Decay::cosine;
  if (name == "slow_cosine") return Decay::slow_cosine;
  throw ConfigError(fmt::format("auxiliary_skip: decay is '{}', expected linear, cosine or slow_cosine", name));
}

}  // namespace

void register_auxiliary_skip(Registry<Component<Transform>>& registry) {
  registry.add({.name = "auxiliary_skip",
                .help = "a skip connection beside the candidates of each edge, fading out over the epochs",
                .source = "Chu et al. 2021 (DARTS-), arXiv:2009.01027",
                .defaults = {{"decay", std::string("linear")}},
                .make = [](const Options& options) -> std::unique_ptr<Transform> {
                  return std::make_unique<AuxiliarySkip>(decay_of(options.text("decay")));
                }});
}

}  // namespace dnas::search::family::transforms
