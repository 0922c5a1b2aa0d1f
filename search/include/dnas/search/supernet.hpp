#pragma once

#include "dnas/engine/executor.hpp"
#include "dnas/engine/loader.hpp"
#include "dnas/engine/parameters.hpp"
#include "dnas/kernels/buffer.hpp"
#include "dnas/kernels/context.hpp"
#include "dnas/search/space.hpp"
#include "dnas/search/step_plan.hpp"

#include <cstdint>
#include <map>
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
};

/// A supernet that can be evaluated: its tables, its plans (one per Want and batch size, sharing one arena) and its
/// weight gradient. It knows mixing weights, not where they come from.
class Supernet {
 public:
  /// The tables do not depend on the options.
  Supernet(std::shared_ptr<const Space> space, NetworkConfig config, float label_smoothing, Context ctx,
           const StepOptions& options = {});

  [[nodiscard]] const Context& context() const noexcept { return ctx_; }
  [[nodiscard]] const engine::NetworkTables& tables() const noexcept { return tables_; }
  [[nodiscard]] const NetworkConfig& config() const noexcept { return config_; }

  /// Limits the arena of what is planned from now on; 0: no limit (step_plan.hpp).
  void set_memory_budget(std::size_t bytes) noexcept { options_.memory_budget = bytes; }

  /// Plans an evaluation, so that it allocates nothing later. Called by evaluate() where it was not done.
  void prepare(Want want, std::int64_t batch);

  /// Allocates the arena for what was prepared. Done by evaluate() otherwise.
  void allocate();

  struct Result {
    double loss = 0.0;
    TensorView logits;             ///< [N, classes]; valid until the next evaluation
    std::vector<TensorView> dmix;  ///< per group [edges, candidates], with Want::mixing and both; likewise
  };

  /// Loss (mean cross-entropy) and gradients at a weight point. Want::weights and both write gradient(). In training
  /// mode the running statistics in `states` move.
  /// @throws ShapeError if batch and network do not fit; NumericalError if the loss of a
  /// training evaluation is not finite
  const Result& evaluate(Want want, const engine::Batch& batch, std::span<const TensorView> mix,
                         std::span<float> weights, std::span<float> states);

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
    std::unique_ptr<engine::Executor> executor;
    std::size_t recomputed = 0;
    Result result;
  };

  Program& program(Want want, std::int64_t batch);

  std::shared_ptr<const Space> space_;
  NetworkConfig config_;
  float label_smoothing_;
  Context ctx_;
  StepOptions options_;
  engine::NetworkTables tables_;
  std::vector<std::string> mix_names_;   // graph inputs, per group
  std::vector<std::string> dmix_names_;  // graph outputs, likewise
  std::map<std::pair<Want, std::int64_t>, Program> programs_;
  std::unique_ptr<engine::ParameterSet> gradient_;
  engine::RunObserver* observer_ = nullptr;
  std::size_t arena_bytes_ = 0;
  Buffer arena_;
};

}  // namespace dnas::search
