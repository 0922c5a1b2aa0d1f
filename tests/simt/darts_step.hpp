#pragma once

#include "core/kernel_cost.hpp"
#include "ops/state_bundle_cuda.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

// One forward and backward pass of a DARTS supernet as the device would run it, launch by launch, with every tensor's
// shape and an address of its own, but no memory behind it: what planning will do for a search on a GPU, spelt out for
// the network of Liu et al. 2019 so that its launches, bytes and operations can be counted.
namespace dnas::simt {

struct DartsStepOptions {
  std::int64_t batch = 64;
  std::int64_t side = 32;
  std::int64_t channels = 16;
  int layers = 8;
  DType dtype = DType::f32;
  bool weight_step = true;        ///< gradients of the weights; else of the architecture
  bool recompute_dilated = true;  ///< nodes compute the dilated convolutions again instead of reading their outputs
};

/// A launch, or a call of a library, that a step makes.
struct StepLaunch {
  std::string operation;
  kernels::cuda::KernelCost cost;
  std::function<void()> run;  ///< empty: a library's
};

[[nodiscard]] std::vector<StepLaunch> darts_step(const DartsStepOptions& options);

}  // namespace dnas::simt
