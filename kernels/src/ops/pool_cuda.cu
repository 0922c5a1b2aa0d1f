#include "ops/pool_cuda.hpp"

#include "core/launch.cuh"
#include "core/shared_memory.cuh"
#include "ops/channel_walk.cuh"

#include <algorithm>

namespace dnas::kernels::cuda {
namespace {

constexpr int threads = walk_threads;

// --- what the kernels are given -------------------------------------------------------------------------------------

/// The image a window slides over and the image of its results; `vectors` of channels in a pixel of both.
struct Windows {
  std::int64_t images;
  int height, width;
  int out_height, out_width;
  int channels, vectors;
  int kernel, stride, padding;
};

// --- device helpers -------------------------------------------------------------------------------------------------

/// The vector of channels of one pixel that a thread works on: neighbours in memory for neighbouring threads.
struct Place {
  int channel;
  std::int64_t pixel;
  int row, column;
  std::int64_t image;

  __device__ __forceinline__ Place(std::int64_t index, int vectors, int width_of_vector, int height, int width) {
    pixel = index / vectors;
    channel = static_cast<int>(index - pixel * vectors) * width_of_vector;
    const std::int64_t line = pixel / width;
    column = static_cast<int>(pixel - line * width);
    image = line / height;
    row = static_cast<int>(line - image * height);
  }
};

__device__ __forceinline__ std::int64_t thread_index() {
  return std::int64_t{blockIdx.x} * threads + threadIdx.x;
}

/// Calls visit(position, pixel of x) for the positions of the window of an output element that lie in x, in order.
/// Kernel: the window's extent, or 0 if only known at run time.
template <int Kernel, typename Visit>
__device__ __forceinline__ void for_window(const Windows& w, const Place& out, Visit&& visit) {
  const int kernel = Kernel > 0 ? Kernel : w.kernel;
#pragma unroll
  for (int a = 0; a < kernel; ++a) {
    const int row = out.row * w.stride - w.padding + a;
#pragma unroll
    for (int b = 0; b < kernel; ++b) {
      const int column = out.column * w.stride - w.padding + b;
      if (row < 0 || row >= w.height || column < 0 || column >= w.width) continue;
      visit(a * kernel + b, (out.image * w.height + row) * w.width + column);
    }
  }
}

/// Calls visit(position, row, column, pixel of y) for the outputs whose windows hold an element of x, by positions.
template <int Kernel, typename Visit>
__device__ __forceinline__ void for_outputs(const Windows& w, const Place& in, Visit&& visit) {
  const int kernel = Kernel > 0 ? Kernel : w.kernel;
#pragma unroll
  for (int a = 0; a < kernel; ++a) {
    const int up = in.row + w.padding - a;
    const int row = up / w.stride;
#pragma unroll
    for (int b = 0; b < kernel; ++b) {
      const int left = in.column + w.padding - b;
      const int column = left / w.stride;
      if (up < 0 || up != row * w.stride || row >= w.out_height) continue;
      if (left < 0 || left != column * w.stride || column >= w.out_width) continue;
      visit(a * kernel + b, row, column, (in.image * w.out_height + row) * w.out_width + column);
    }
  }
}

/// Positions of the window of output (row, column) that lie in x.
__device__ __forceinline__ int window_size(const Windows& w, int row, int column) {
  const int top = row * w.stride - w.padding;
  const int left = column * w.stride - w.padding;
  const int rows = min(top + w.kernel, w.height) - max(top, 0);
  const int columns = min(left + w.kernel, w.width) - max(left, 0);
  return rows * columns;
}

template <int Width>
struct alignas(Width) Bytes {
  std::uint8_t lane[Width];
};

template <int Width, typename T>
__device__ __forceinline__ void put(T* to, Vec<Width> value, bool accumulate) {
  if (accumulate) {
    const Vec<Width> before = load<Width>(to);
#pragma unroll
    for (int j = 0; j < Width; ++j)
      value.lane[j] += before.lane[j];
  }
  store(to, value);
}

// --- kernels --------------------------------------------------------------------------------------------------------

template <typename T, int Width, int Kernel>
__global__ void __launch_bounds__(threads, 4)
    max_forward_kernel(const Windows w, const Pixels<const T> x, const Pixels<T> y, std::uint8_t* argmax) {
  const Place out(thread_index(), w.vectors, Width, w.out_height, w.out_width);
  if (out.image >= w.images) return;
  Vec<Width> best{};
  int at[Width];
#pragma unroll
  for (int j = 0; j < Width; ++j)
    at[j] = -1;
  for_window<Kernel>(w, out, [&](int position, std::int64_t pixel) {
    const Vec<Width> value = load<Width>(x.at(pixel, out.channel));
#pragma unroll
    for (int j = 0; j < Width; ++j) {
      // NaN wins, the first one stays; of equal values the first.
      const bool wins = at[j] < 0 || value.lane[j] > best.lane[j] || (isnan(value.lane[j]) && !isnan(best.lane[j]));
      best.lane[j] = wins ? value.lane[j] : best.lane[j];
      at[j] = wins ? position : at[j];
    }
  });
  store(y.at(out.pixel, out.channel), best);
  Bytes<Width> bytes;
#pragma unroll
  for (int j = 0; j < Width; ++j)
    bytes.lane[j] = static_cast<std::uint8_t>(at[j]);
  *reinterpret_cast<Bytes<Width>*>(argmax + out.pixel * w.channels + out.channel) = bytes;
}

template <typename T, int Width, int Kernel>
__global__ void __launch_bounds__(threads)
    max_backward_kernel(const Windows w, const Pixels<const T> dy, const std::uint8_t* argmax, const Pixels<T> dx,
                        bool accumulate) {
  const Place in(thread_index(), w.vectors, Width, w.height, w.width);
  if (in.image >= w.images) return;
  Vec<Width> sum{};
  for_outputs<Kernel>(w, in, [&](int position, int /*row*/, int /*column*/, std::int64_t pixel) {
    const auto at = *reinterpret_cast<const Bytes<Width>*>(argmax + pixel * w.channels + in.channel);
    const Vec<Width> g = load<Width>(dy.at(pixel, in.channel));
#pragma unroll
    for (int j = 0; j < Width; ++j)
      sum.lane[j] += at.lane[j] == position ? g.lane[j] : 0.0F;
  });
  put(dx.at(in.pixel, in.channel), sum, accumulate);
}

template <typename T, int Width, int Kernel>
__global__ void __launch_bounds__(threads)
    avg_forward_kernel(const Windows w, const Pixels<const T> x, const Pixels<T> y) {
  const Place out(thread_index(), w.vectors, Width, w.out_height, w.out_width);
  if (out.image >= w.images) return;
  Vec<Width> sum{};
  for_window<Kernel>(w, out, [&](int /*position*/, std::int64_t pixel) {
    const Vec<Width> value = load<Width>(x.at(pixel, out.channel));
#pragma unroll
    for (int j = 0; j < Width; ++j)
      sum.lane[j] += value.lane[j];
  });
  const auto count = static_cast<float>(window_size(w, out.row, out.column));
#pragma unroll
  for (int j = 0; j < Width; ++j)
    sum.lane[j] /= count;
  store(y.at(out.pixel, out.channel), sum);
}

template <typename T, int Width, int Kernel>
__global__ void __launch_bounds__(threads)
    avg_backward_kernel(const Windows w, const Pixels<const T> dy, const Pixels<T> dx, bool accumulate) {
  const Place in(thread_index(), w.vectors, Width, w.height, w.width);
  if (in.image >= w.images) return;
  Vec<Width> sum{};
  for_outputs<Kernel>(w, in, [&](int /*position*/, int row, int column, std::int64_t pixel) {
    const float share = 1.0F / static_cast<float>(window_size(w, row, column));
    const Vec<Width> g = load<Width>(dy.at(pixel, in.channel));
#pragma unroll
    for (int j = 0; j < Width; ++j)
      sum.lane[j] = fmaf(share, g.lane[j], sum.lane[j]);
  });
  put(dx.at(in.pixel, in.channel), sum, accumulate);
}

/// Of image blockIdx.x; the walk is one over its pixels alone, in one block.
template <typename T, int Width>
__global__ void __launch_bounds__(threads)
    global_forward_kernel(const ChannelWalk walk, const Pixels<const T> x, T* y) {
  SharedMemory memory;
  auto* const row_sums = memory.take<float>(Width * threads);
  const WalkThread<Width> mine(walk);  // of which begin and end are those of the first image only
  const std::int64_t image = blockIdx.x;
  float sum[Width] = {};
  if (!mine.idle) {
#pragma unroll 4
    for (std::int64_t p = mine.row; p < walk.pixels; p += mine.rows) {
      const Vec<Width> value = load<Width>(x.at(image * walk.pixels + p, mine.channel));
#pragma unroll
      for (int j = 0; j < Width; ++j)
        sum[j] += value.lane[j];
    }
  }
  sum_rows(sum, walk.lanes, row_sums);
  if (mine.idle || mine.row != 0) return;
  Vec<Width> mean;
#pragma unroll
  for (int j = 0; j < Width; ++j)
    mean.lane[j] = sum[j] / static_cast<float>(walk.pixels);
  store(y + image * walk.channels + mine.channel, mean);
}

template <typename T, int Width>
__global__ void __launch_bounds__(threads)
    global_backward_kernel(std::int64_t images, std::int64_t pixels, int channels, const T* dy, const Pixels<T> dx,
                           bool accumulate) {
  const int vectors = channels / Width;
  const std::int64_t pixel = thread_index() / vectors;
  const int channel = static_cast<int>(thread_index() - pixel * vectors) * Width;
  const std::int64_t image = pixel / pixels;
  if (image >= images) return;
  Vec<Width> g = load<Width>(dy + image * channels + channel);
#pragma unroll
  for (int j = 0; j < Width; ++j)
    g.lane[j] /= static_cast<float>(pixels);
  put(dx.at(pixel, channel), g, accumulate);
}

// --- launchers ------------------------------------------------------------------------------------------------------

unsigned blocks_for(std::int64_t vectors) {
  return static_cast<unsigned>((vectors + threads - 1) / threads);
}

Windows windows_of(const Pool& pool, const Shape& x, const Shape& y, int width) {
  const auto extent = [](std::int64_t n) { return static_cast<int>(n); };
  return {x[0],         extent(x[1]),         extent(x[2]), extent(y[1]), extent(y[2]),
          extent(x[3]), extent(x[3]) / width, pool.kernel,  pool.stride,  pool.padding};
}

/// Calls submit.template operator()<T, Width, Kernel>(): of 3, which is what cells have, or any.
template <typename Submit>
void with_kernel(DType dtype, bool vectorised, const Pool& pool, Submit&& submit) {
  with_storage(dtype, vectorised, [&]<typename T, int Width>() {
    pool.kernel == 3 ? submit.template operator()<T, Width, 3>() : submit.template operator()<T, Width, 0>();
  });
}

bool aligned4(const TensorView& bytes) {
  return reinterpret_cast<std::uintptr_t>(bytes.data) % 4 == 0;
}

}  // namespace

void max_pool_forward(const Pool& pool, const TensorView& x, const TensorView& y, const TensorView& argmax,
                      void* stream) {
  with_kernel(x.dtype, vectorisable({x, y}) && aligned4(argmax), pool, [&]<typename T, int Width, int Kernel>() {
    launch("max_pool_forward", max_forward_kernel<T, Width, Kernel>, {blocks_for(y.elements() / Width), threads},
           stream, windows_of(pool, x.shape, y.shape, Width), Pixels<const T>(x), Pixels<T>(y), argmax.u8());
  });
}

void max_pool_backward(const Pool& pool, const TensorView& dy, const TensorView& argmax, const TensorView& dx,
                       Write write, void* stream) {
  with_kernel(dx.dtype, vectorisable({dx, dy}) && aligned4(argmax), pool, [&]<typename T, int Width, int Kernel>() {
    launch("max_pool_backward", max_backward_kernel<T, Width, Kernel>, {blocks_for(dx.elements() / Width), threads},
           stream, windows_of(pool, dx.shape, dy.shape, Width), Pixels<const T>(dy), argmax.u8(), Pixels<T>(dx),
           write == Write::accumulate);
  });
}

void avg_pool_forward(const Pool& pool, const TensorView& x, const TensorView& y, void* stream) {
  with_kernel(x.dtype, vectorisable({x, y}), pool, [&]<typename T, int Width, int Kernel>() {
    launch("avg_pool_forward", avg_forward_kernel<T, Width, Kernel>, {blocks_for(y.elements() / Width), threads},
           stream, windows_of(pool, x.shape, y.shape, Width), Pixels<const T>(x), Pixels<T>(y));
  });
}

void avg_pool_backward(const Pool& pool, const TensorView& dy, const TensorView& dx, Write write, void* stream) {
  with_kernel(dx.dtype, vectorisable({dx, dy}), pool, [&]<typename T, int Width, int Kernel>() {
    launch("avg_pool_backward", avg_backward_kernel<T, Width, Kernel>, {blocks_for(dx.elements() / Width), threads},
           stream, windows_of(pool, dx.shape, dy.shape, Width), Pixels<const T>(dy), Pixels<T>(dx),
           write == Write::accumulate);
  });
}

void global_avg_pool_forward(const TensorView& x, const TensorView& y, void* stream) {
  with_storage(x.dtype, vectorisable({x, y}), [&]<typename T, int Width>() {
    const ChannelWalk walk(x.shape[1] * x.shape[2], x.channels(), Width);
    launch("global_avg_pool_forward", global_forward_kernel<T, Width>,
           {dim3(static_cast<unsigned>(x.shape[0]), walk.tiles), threads, shared_bytes<float>(Width * threads)}, stream,
           walk, Pixels<const T>(x), static_cast<T*>(y.data));
  });
}

void global_avg_pool_backward(const TensorView& dy, const TensorView& dx, Write write, void* stream) {
  with_storage(dx.dtype, vectorisable({dx, dy}), [&]<typename T, int Width>() {
    launch("global_avg_pool_backward", global_backward_kernel<T, Width>, {blocks_for(dx.elements() / Width), threads},
           stream, dx.shape[0], dx.shape[1] * dx.shape[2], static_cast<int>(dx.channels()),
           static_cast<const T*>(dy.data), Pixels<T>(dx), write == Write::accumulate);
  });
}

}  // namespace dnas::kernels::cuda
