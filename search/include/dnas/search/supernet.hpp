#pragma once

#include "dnas/engine/executor.hpp"
#include "dnas/engine/loader.hpp"
#include "dnas/engine/parameters.hpp"
#include "dnas/kernels/buffer.hpp"
#include "dnas/kernels/context.hpp"
#include "dnas/search/space.hpp"
#include "dnas/search/step_plan.hpp"
#include "dnas/search/support.hpp"
#include "dnas/search/transform.hpp"

#include <array>
#include <concepts>
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dnas::search {

/// What an evaluation of the supernet computes besides loss and logits. Nothing else is computed.
enum class Want : std::uint8_t {
  nothing,  ///< evaluation mode: running statistics, no gradients
  weights,  ///< gradient of every weight
  mixing,   ///< gradient of the mixing weights
  both,
  mixing_inference,  ///< gradient of the mixing weights in evaluation mode: running statistics, which do not move
};

/// The mixing weights of an evaluation, and what else it reads.
struct Mixing {
  std::span<const TensorView> weights;  ///< per choice group, Architecture::mix()
  const Support* support = nullptr;     ///< candidates that run; nullptr or empty: all
  std::span<const float> rates = {};    ///< per transform; may be empty if no transform has one
  std::uint64_t seed = 0;               ///< of random nodes, with `draw`
  std::uint32_t draw = 0;

  template <std::convertible_to<std::span<const TensorView>> Weights>
  Mixing(const Weights& weights_) : weights(weights_) {}
};

/// A supernet that can be evaluated: its tables, its plans (one per Want, batch size and support, sharing one arena)
/// and its weight gradient. It knows mixing weights, not where they come from.
///
/// A support makes a smaller network of its own, planned when it is first met: what it leaves out costs neither time
/// nor memory. The most recent plans are kept.
class Supernet {
 public:
  /// The tables do not depend on the options.
  Supernet(std::shared_ptr<const Space> space, NetworkConfig config, float label_smoothing, Context ctx,
           const StepOptions& options = {}, std::vector<std::unique_ptr<const Transform>> transforms = {});

  [[nodiscard]] const Context& context() const noexcept { return ctx_; }
  [[nodiscard]] const engine::NetworkTables& tables() const noexcept { return tables_; }
  [[nodiscard]] const NetworkConfig& config() const noexcept { return config_; }
  [[nodiscard]] Transforms transforms() const noexcept { return transforms_; }

  /// Limits the arena of what is planned from now on; 0: no limit (step_plan.hpp).
  void set_memory_budget(std::size_t bytes) noexcept { options_.memory_budget = bytes; }

  /// Plans an evaluation, so that it allocates nothing later. Called by evaluate() where it was not done.
  void prepare(Want want, std::int64_t batch, const Support& support = {});

  /// Allocates the arena for what was prepared. Done by evaluate() otherwise.
  void allocate();

  struct Result {
    double loss = 0.0;
    TensorView logits;             ///< [N, classes]; valid until the next evaluation
    std::vector<TensorView> dmix;  ///< per group [edges, candidates], with Want::mixing and both; likewise
  };

  /// Loss (mean cross-entropy) and gradients at a weight point. Want::weights and both write gradient(), with zeros for
  /// the weights of what does not run. In training mode the running statistics in `states` move.
  /// @throws ShapeError if batch and network do not fit; NumericalError if the loss of a
  /// training evaluation is not finite
  const Result& evaluate(Want want, const engine::Batch& batch, const Mixing& mixing, std::span<float> weights,
                         std::span<float> states);

  /// Tells `observer` of every node that later evaluations run; nullptr: nobody. It must outlive them.
  void observe(engine::RunObserver* observer) noexcept { observer_ = observer; }

  /// Gradient of the weights after an evaluation that wanted it.
  [[nodiscard]] engine::ParameterSet& gradient() noexcept { return *gradient_; }

  /// Bytes of the arena that all plans share: activations, their gradients and scratch.
  [[nodiscard]] std::size_t arena_bytes() const noexcept { return arena_bytes_; }
  /// Nodes that run in the largest of the plans.
  [[nodiscard]] std::size_t nodes() const noexcept;
  /// Nodes that run twice, in the plan with the most of them.
  [[nodiscard]] std::size_t recomputed() const noexcept;

 private:
  struct Program {
    Want want;
    std::int64_t batch;
    Support support;
    std::unique_ptr<engine::Executor> executor;
    std::size_t recomputed = 0;
    Result result;
  };

  Program& program(Want want, std::int64_t batch, const Support& support);
  Program make_program(Want want, std::int64_t batch, const Support& support);
  void set_inputs(engine::Executor& executor, const engine::Batch& batch, const Mixing& mixing);

  std::shared_ptr<const Space> space_;
  NetworkConfig config_;
  float label_smoothing_;
  Context ctx_;
  StepOptions options_;
  engine::NetworkTables tables_;
  std::vector<std::string> mix_names_;   // graph inputs, per group
  std::vector<std::string> dmix_names_;  // graph outputs, likewise
  std::vector<std::unique_ptr<const Transform>> transforms_;
  std::list<Program> programs_;  // the most recently used first
  std::array<std::int64_t, 2> random_{};
  std::vector<float> rates_;
  std::unique_ptr<engine::ParameterSet> gradient_;
  engine::RunObserver* observer_ = nullptr;
  std::size_t arena_bytes_ = 0;
  Buffer arena_;
};

}  // namespace dnas::search
