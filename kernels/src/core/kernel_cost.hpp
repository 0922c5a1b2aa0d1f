#pragma once

#include <algorithm>

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

/// What a device does in a second, and what one launch of a captured graph takes besides.
struct DeviceRates {
  double bytes;
  double vector_flops;
  double tensor_flops;
  double launch_seconds;
};

/// An H100 SXM: what nothing can beat. Copies measured at 3.0 TB/s (read and written bytes together); arithmetic as the
/// vendor states it, dense; with TF32 or, at twice the rate, bfloat16 products.
inline constexpr DeviceRates h100_tf32{3.0e12, 67e12, 400e12, 0.0};
inline constexpr DeviceRates h100_bf16{3.0e12, 67e12, 800e12, 0.0};

/// What we expect kernels to reach of it, before any was measured: 80 % of the copy rate for tiles with a halo; half of
/// the vector rate, as windows load about one value from shared memory per multiplication; 30 % of the tensor rate with
/// 16 to 64 columns; 1.5 us from launch to launch.
[[nodiscard]] constexpr DeviceRates expected(const DeviceRates& peak) noexcept {
  return {0.8 * peak.bytes, 0.5 * peak.vector_flops, 0.3 * peak.tensor_flops, 1.5e-6};
}

/// Memory and arithmetic overlap, between the blocks of a multiprocessor; vector and tensor work of a tile alternate.
[[nodiscard]] constexpr double seconds(const KernelCost& cost, const DeviceRates& rates) noexcept {
  return std::max(cost.bytes / rates.bytes,
                  cost.vector_flops / rates.vector_flops + cost.tensor_flops / rates.tensor_flops) +
         cost.launches * rates.launch_seconds;
}

}  // namespace dnas::kernels::cuda
