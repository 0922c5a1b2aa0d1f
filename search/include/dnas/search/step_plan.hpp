#pragma once

#include "dnas/engine/plan.hpp"
#include "dnas/kernels/context.hpp"
#include "dnas/search/space.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace dnas::search {

/// What an evaluation of a network computes besides loss and logits. With neither it is one in evaluation mode.
struct StepRequest {
  bool weights = false;    ///< gradient of every weight
  bool mixing = false;     ///< gradient of every mixing input
  bool inference = false;  ///< with gradients: running statistics, which stay as they are
  float label_smoothing = 0.0F;

  [[nodiscard]] bool gradients() const noexcept { return weights || mixing; }
  [[nodiscard]] bool training() const noexcept { return gradients() && !inference; }
};

/// How it is computed. Results differ by rounding at most.
struct StepOptions {
  bool fusion = true;  ///< run mixed operations as fused nodes (engine/fusion.hpp)
  /// Bytes of the plan's arena; 0: no limit. To keep within it, results of the first nodes are not kept but computed
  /// again in the backward pass, of about as few nodes as will do; that changes no bit.
  std::size_t memory_budget = 0;
};

struct StepPlan {
  std::shared_ptr<const engine::Plan> plan;
  std::size_t recomputed = 0;  ///< nodes that run twice
};

using BuildNetwork = std::function<NetworkValues(engine::Graph&)>;

/// The name of the output that holds the gradient of a mixing input.
[[nodiscard]] std::string mixing_gradient(std::string_view input);

/// Plans an evaluation of the network that `build` appends, with cross-entropy: inputs are the network's and "labels"
/// [N] i64; outputs "loss", "logits" and mixing_gradient() of each mixing input that the loss depends on.
/// @throws as Space::build_supernet; ConfigError if the budget is too small however much is computed again
[[nodiscard]] StepPlan plan_step(const BuildNetwork& build, const engine::NetworkTables& tables,
                                 const StepRequest& request, const StepOptions& options, const Context& ctx);

}  // namespace dnas::search
