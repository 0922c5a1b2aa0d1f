#pragma once

#include "core/kernel_cost.hpp"
#include "core/product.hpp"
#include "ops/state_bundle_cuda.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
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
  kernels::cuda::Product product = kernels::cuda::Product::tf32;  ///< bf16 if dtype is
  bool weight_step = true;        ///< gradients of the weights; else of the architecture
  bool recompute_dilated = true;  ///< nodes compute the dilated convolutions again instead of reading their outputs
  std::uintptr_t base = std::uintptr_t{1} << 40;  ///< where the first tensor begins; a multiple of 256
};

/// A launch, or a call of a library, that a step makes.
struct StepLaunch {
  std::string operation;
  kernels::cuda::KernelCost cost;
  std::function<void(void* stream)> run;  ///< empty: a library's, or not there yet
};

/// The memory that the launches of a step work in.
struct StepMemory {
  std::size_t bytes = 0;            ///< from DartsStepOptions::base on
  std::vector<TensorView> tensors;  ///< all of them, dense, in order of their addresses
  /// Workspaces: all zero before the first run.
  std::vector<std::span<std::byte>> workspaces;
};

/// @param memory  filled in if it is not null
[[nodiscard]] std::vector<StepLaunch> darts_step(const DartsStepOptions& options, StepMemory* memory = nullptr);

}  // namespace dnas::simt
