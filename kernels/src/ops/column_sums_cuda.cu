#include "ops/column_sums_cuda.hpp"

#include "core/launch.cuh"
#include "core/vec.cuh"

namespace dnas::kernels::cuda {
namespace {

constexpr int columns = 32;  // of a block: neighbouring threads, neighbouring addresses
constexpr int groups = 8;    // of rows, that a block adds side by side
constexpr int run = 16;      // rows a thread adds in f32 before it goes on in f64

template <typename T>
__global__ void __launch_bounds__(columns* groups)
    column_sums_kernel(const T* dy, std::int64_t stride, std::int64_t rows, int width, float* db) {
  __shared__ double scratch[groups][columns];
  const int lane = static_cast<int>(threadIdx.x);
  const int group = static_cast<int>(threadIdx.y);
  const int column = static_cast<int>(blockIdx.x) * columns + lane;

  double total = 0.0;
  if (column < width) {
    float part = 0.0F;
    int added = 0;
    for (std::int64_t r = group; r < rows; r += groups) {
      part += load<1>(dy + r * stride + column).lane[0];
      if (++added == run) {
        total += part;
        part = 0.0F;
        added = 0;
      }
    }
    total += part;
  }
  scratch[group][lane] = total;
  __syncthreads();

  if (group == 0 && column < width) {
    double sum = 0.0;
    for (int g = 0; g < groups; ++g)
      sum += scratch[g][lane];
    db[column] = static_cast<float>(sum);
  }
}

template <typename T>
void launch_column_sums(const TensorView& dy, const TensorView& db, void* stream) {
  const auto blocks = static_cast<unsigned>((dy.channels() + columns - 1) / columns);
  launch("column_sums", column_sums_kernel<T>, {blocks, dim3(columns, groups)}, stream, static_cast<const T*>(dy.data),
         dy.pixel_stride, dy.pixels(), static_cast<int>(dy.channels()), db.f32());
}

}  // namespace

void column_sums(const TensorView& dy, const TensorView& db, void* stream) {
  if (dy.channels() == 0) return;
  const auto launch_type = dy.dtype == DType::bf16 ? launch_column_sums<Bf16> : launch_column_sums<float>;
  launch_type(dy, db, stream);
}

}  // namespace dnas::kernels::cuda
