#pragma once

#include "dnas/engine/plan.hpp"
#include "dnas/engine/run_observer.hpp"
#include "dnas/kernels/context.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace dnas::engine {

/// The memory a plan runs on. All of it belongs to the caller and must outlive the runs.
struct Bindings {
  std::span<std::byte>
      arena;  ///< at least plan.arena_bytes(), 64-byte aligned; may be shared by plans that run in turn
  std::span<float> parameters;  ///< flat weights
  std::span<float> gradients;   ///< flat gradients; may be empty if the plan computes none
  std::span<float> states;      ///< flat running statistics
};

/// Runs a plan. After construction a run allocates nothing.
class Executor {
 public:
  Executor(std::shared_ptr<const Plan> plan, Context ctx);

  /// Points the plan at this memory. Cheap enough to do before every run: evaluating at another weight point is a
  /// rebind.
  /// @throws ShapeError if something is too small or not aligned
  void bind(const Bindings& bindings);
  /// Binds an input. The view must have the input's type, be dense, and stay valid during run(). @throws ShapeError,
  /// DtypeError
  void set_input(std::string_view name, const TensorView& view);
  /// Runs every node. @throws Error if memory or an input is not bound
  void run();
  /// The same, telling `observer` of each node. run() itself tells nobody and costs nothing for it.
  void run(RunObserver& observer);
  /// A named output after run(); valid until the arena is used again. @throws Error if there is none, or before bind()
  [[nodiscard]] TensorView output(std::string_view name) const;

  [[nodiscard]] const Plan& plan() const noexcept { return *plan_; }

 private:
  struct Step {
    const Op* op;
    std::size_t node;  // of the graph
    std::size_t first_input, inputs;
    std::size_t first_output, outputs;
    std::span<std::byte> workspace;
  };

  [[nodiscard]] TensorView make_view(ValueId value) const;
  void require_memory() const;
  void run_step(const Step& step) const;

  std::shared_ptr<const Plan> plan_;
  Context ctx_;
  std::vector<Step> steps_;
  std::vector<ValueId> operands_;   // values behind views_
  std::vector<TensorView> views_;   // all inputs and outputs of all steps
  std::vector<TensorView> inputs_;  // bound graph inputs, by slot
  std::vector<TensorType> input_types_;
  std::vector<std::vector<std::size_t>> input_views_;  // positions in views_ that lie in each input
  Bindings bindings_;
  bool bound_ = false;
};

}  // namespace dnas::engine
