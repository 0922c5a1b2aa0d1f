#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/search/space.hpp"
#include "dnas/search/step_plan.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace dnas::apps {

/// What a network costs, found by building and planning it. Nothing is executed.
struct NetworkReport {
  /// How often an operation runs in a forward pass.
  struct Operation {
    std::string kind;
    std::size_t count = 0;
  };
  /// A planned evaluation: loss and some gradients on one batch.
  struct Step {
    std::string name;
    std::size_t nodes = 0;
    std::size_t arena_bytes = 0;  ///< peak of activations, their gradients and scratch
    std::size_t live_bytes = 0;   ///< the lower bound: the most that is alive at one node
  };

  std::int64_t parameters = 0;            ///< without the auxiliary classifier, as papers count
  std::int64_t auxiliary_parameters = 0;  ///< of the auxiliary classifier
  std::int64_t multiply_adds = 0;         ///< of a forward pass on one image
  std::vector<Operation> operations;      ///< by name
  std::vector<Step> steps;
  std::size_t weight_bytes = 0;  ///< weights, their gradient, momentum and running statistics
};

/// A step to plan, under the name it is reported by.
struct NamedStep {
  std::string name;
  search::StepRequest request;
};

using BuildNetwork = std::function<search::NetworkValues(engine::Graph&, const search::NetworkConfig&)>;

/// @param fusion  whether training steps run fused nodes (engine/fusion.hpp)
/// @throws ConfigError if the size does not fit the network
[[nodiscard]] NetworkReport report_network(const search::NetworkConfig& config, const BuildNetwork& build,
                                           const std::vector<NamedStep>& steps, bool fusion, const Context& ctx);

}  // namespace dnas::apps
