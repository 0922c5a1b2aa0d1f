#pragma once

namespace dnas::kernels::cuda {

/// What launches must do, counted from their arguments: bytes are those of tensors and partial results that have to
/// pass between memory and chip once per launch (rereads that a cache can serve are not counted), operations count a
/// fused multiply-add as two.
struct KernelCost {
  int launches = 0;
  double bytes = 0.0;
  double vector_flops = 0.0;  ///< outside the tensor cores
  double tensor_flops = 0.0;  ///< of the products, once however many instructions Product takes

  KernelCost& operator+=(const KernelCost& other) noexcept {
    launches += other.launches;
    bytes += other.bytes;
    vector_flops += other.vector_flops;
    tensor_flops += other.tensor_flops;
    return *this;
  }
};

}  // namespace dnas::kernels::cuda
