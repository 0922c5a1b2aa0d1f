#pragma once

#include <cuda_runtime.h>

namespace dnas::kernels::cuda {

/// Carves arrays out of a block's dynamic shared memory: the only way our kernels get more than a few words of it. All
/// threads of a block take the same arrays in the same order; what a launch needs is a sum of shared_bytes().
class SharedMemory {
 public:
  /// `count` elements from a 16-byte boundary on.
  template <typename T>
  __device__ __forceinline__ T* take(int count) {
    extern __shared__ __align__(128) unsigned char shared_memory[];
    T* const array = reinterpret_cast<T*>(shared_memory + offset_);
    offset_ += (count * static_cast<int>(sizeof(T)) + 15) & ~15;
    return array;
  }

 private:
  int offset_ = 0;
};

/// What SharedMemory::take uses up for `count` elements.
template <typename T>
[[nodiscard]] constexpr std::size_t shared_bytes(std::size_t count) noexcept {
  return (count * sizeof(T) + 15) / 16 * 16;
}

}  // namespace dnas::kernels::cuda
