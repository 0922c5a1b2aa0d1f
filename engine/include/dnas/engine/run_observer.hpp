#pragma once

#include <cstddef>

namespace dnas::engine {

class Plan;

/// Watches a run of an executor node by node: for measuring. Called on the thread that runs.
class RunObserver {
 public:
  virtual ~RunObserver() = default;

  virtual void run_starts(const Plan& plan) = 0;
  /// @param node  index of the plan's graph
  virtual void node_starts(const Plan& plan, std::size_t node) = 0;
  virtual void node_ends(const Plan& plan, std::size_t node) = 0;
};

}  // namespace dnas::engine
