#include "ops/augment_cuda.hpp"

#include "core/launch.cuh"
#include "core/vec.cuh"

namespace dnas::kernels::cuda {
namespace {

constexpr int threads = 256;

// --- device helpers -------------------------------------------------------------------------------------------------

/// Whether the cutout covers a coordinate.
__device__ __forceinline__ bool covered(int at, int centre, int length) {
  return at >= centre - length / 2 && at < centre + length / 2;
}

// --- kernels --------------------------------------------------------------------------------------------------------

/// One element of y per thread.
template <typename T>
__global__ void __launch_bounds__(threads)
    augment_kernel(const std::uint8_t* x, std::int64_t elements, int height, int width, int channels,
                   const Augmentation* augmentations, const float* mean, const float* std, T* y) {
  const std::int64_t i = std::int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i >= elements) return;
  const std::int64_t pixel = i / channels;
  const int channel = static_cast<int>(i - pixel * channels);
  const std::int64_t line = pixel / width;
  const int column = static_cast<int>(pixel - line * width);
  const std::int64_t image = line / height;
  const int row = static_cast<int>(line - image * height);
  const Augmentation a = augmentations[image];

  float value = 0.0F;
  if (!covered(row, a.cutout_y, a.cutout_length) || !covered(column, a.cutout_x, a.cutout_length)) {
    const int from_row = row + a.shift_y;
    const int from_column = (a.flip ? width - 1 - column : column) + a.shift_x;
    const bool inside = from_row >= 0 && from_row < height && from_column >= 0 && from_column < width;
    const int byte = inside ? x[((image * height + from_row) * width + from_column) * channels + channel] : 0;
    const double scaled = static_cast<double>(byte) / 255.0;
    value = static_cast<float>((scaled - static_cast<double>(mean[channel])) / static_cast<double>(std[channel]));
  }
  store(y + i, Vec<1>{{value}});
}

// --- launchers ------------------------------------------------------------------------------------------------------

template <typename T>
void launch_augment(const TensorView& x, const Augmentation* augmentations, const TensorView& mean,
                    const TensorView& std, const TensorView& y, void* stream) {
  const std::int64_t elements = x.elements();
  launch("augment", augment_kernel<T>, {static_cast<unsigned>((elements + threads - 1) / threads), threads}, stream,
         x.u8(), elements, static_cast<int>(x.shape[1]), static_cast<int>(x.shape[2]), static_cast<int>(x.shape[3]),
         augmentations, mean.f32(), std.f32(), static_cast<T*>(y.data));
}

}  // namespace

void augment(const TensorView& x, const Augmentation* augmentations, const TensorView& mean, const TensorView& std,
             const TensorView& y, void* stream) {
  if (x.elements() == 0) return;
  if (y.dtype == DType::bf16) {
    launch_augment<Bf16>(x, augmentations, mean, std, y, stream);
  } else {
    launch_augment<float>(x, augmentations, mean, std, y, stream);
  }
}

}  // namespace dnas::kernels::cuda
