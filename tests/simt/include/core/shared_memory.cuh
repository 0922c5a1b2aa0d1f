#pragma once

// Stands in for kernels/src/core/shared_memory.cuh in the tests: the same names, with red zones between the arrays and
// NaN in them when a block starts (simt/executor/block_memory.hpp).
#include <cuda_runtime.h>

#include <cstddef>

namespace dnas::kernels::cuda {

class SharedMemory {
 public:
  template <typename T>
  T* take(int count) {
    static_assert(alignof(T) <= 16);
    const dnas::simt::InExecutor guard;
    if (count < 0) throw dnas::simt::Misuse("shared memory: an array of " + std::to_string(count) + " elements");
    return reinterpret_cast<T*>(
        dnas::simt::running_block->memory().take(taken_++, static_cast<std::size_t>(count) * sizeof(T)));
  }

 private:
  std::size_t taken_ = 0;
};

template <typename T>
[[nodiscard]] constexpr std::size_t shared_bytes(std::size_t count) noexcept {
  return (count * sizeof(T) + 15) / 16 * 16;
}

}  // namespace dnas::kernels::cuda
