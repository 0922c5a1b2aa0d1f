#include "ops/weighted_sum_cuda.hpp"

#include "core/launch.cuh"
#include "core/reduce.cuh"
#include "core/vec.cuh"

#include <algorithm>

namespace dnas::kernels::cuda {
namespace {

constexpr int threads = 256;
constexpr int max_terms = 64;     // of one launch; a node of a DARTS cell has up to 40
constexpr int tile = 8;           // terms whose sums one thread of the weight gradient keeps in registers
constexpr int run = 16;           // vectors a thread adds in f32 before it goes on in f64
constexpr int max_blocks = 1024;  // several for each multiprocessor of an H100; larger tensors are walked with a stride

// --- what the kernels are given -------------------------------------------------------------------------------------

/// Up to max_terms terms, by value: a kernel parameter needs no copy to the device. `data` is an input of the forward
/// pass and of the weight gradient, an output of the data gradient.
struct Terms {
  float* data[max_terms];
  std::int64_t stride[max_terms];  // from pixel to pixel
  std::int32_t index[max_terms];   // position of the weight
  bool accumulate[max_terms];
  int count = 0;
};

/// The tensor that all terms meet in: y or dy.
struct Node {
  float* data;
  std::int64_t stride;  // from pixel to pixel
  std::int64_t pixels;
  int vectors;  // per pixel
};

// --- kernels --------------------------------------------------------------------------------------------------------
// A block covers `lanes` vectors of each of threads / lanes consecutive pixels; threads left over idle. So neighbouring
// threads touch neighbouring addresses, and no element number has to be divided into pixel and channel.

/// y = sum of w * x over the terms, added to y if `accumulate`.
template <int Width>
__global__ void __launch_bounds__(threads)
    forward_kernel(const __grid_constant__ Terms terms, const float* w, const Node y, int lanes, bool accumulate) {
  __shared__ float weight[max_terms];
  const int thread = static_cast<int>(threadIdx.x);
  for (int k = thread; k < terms.count; k += threads)
    weight[k] = w[terms.index[k]];
  __syncthreads();

  const int pixels_per_block = threads / lanes;
  const int row = thread / lanes;
  if (row >= pixels_per_block) return;
  for (std::int64_t p = std::int64_t{blockIdx.x} * pixels_per_block + row; p < y.pixels;
       p += std::int64_t{gridDim.x} * pixels_per_block) {
    for (int v = thread % lanes; v < y.vectors; v += lanes) {
      float* const out = y.data + p * y.stride + v * Width;
      Vec<Width> sum{};
      if (accumulate) sum = load<Width>(out);
      for (int k = 0; k < terms.count; ++k) {
        const Vec<Width> x = load<Width>(terms.data[k] + p * terms.stride[k] + v * Width);
        for (int i = 0; i < Width; ++i)
          sum.lane[i] = fmaf(weight[k], x.lane[i], sum.lane[i]);
      }
      store(out, sum);
    }
  }
}

/// dx (+)= w * dy for each term.
template <int Width>
__global__ void __launch_bounds__(threads)
    backward_data_kernel(const __grid_constant__ Terms terms, const float* w, const Node dy, int lanes) {
  __shared__ float weight[max_terms];
  const int thread = static_cast<int>(threadIdx.x);
  for (int k = thread; k < terms.count; k += threads)
    weight[k] = w[terms.index[k]];
  __syncthreads();

  const int pixels_per_block = threads / lanes;
  const int row = thread / lanes;
  if (row >= pixels_per_block) return;
  for (std::int64_t p = std::int64_t{blockIdx.x} * pixels_per_block + row; p < dy.pixels;
       p += std::int64_t{gridDim.x} * pixels_per_block) {
    for (int v = thread % lanes; v < dy.vectors; v += lanes) {
      const Vec<Width> g = load<Width>(dy.data + p * dy.stride + v * Width);
      // Terms may share a tensor: one thread owns an element in all of them and visits them in order.
      for (int k = 0; k < terms.count; ++k) {
        float* const out = terms.data[k] + p * terms.stride[k] + v * Width;
        Vec<Width> dx{};
        if (terms.accumulate[k]) dx = load<Width>(out);
        for (int i = 0; i < Width; ++i)
          dx.lane[i] = fmaf(weight[k], g.lane[i], dx.lane[i]);
        store(out, dx);
      }
    }
  }
}

/// Stage 1: partial[term * gridDim.x + block] = sum of dy * x over the block's pixels. blockIdx.y counts tiles of
/// terms, so that dy is read once per tile.
template <int Width>
__global__ void __launch_bounds__(threads)
    backward_weights_kernel(const __grid_constant__ Terms terms, const Node dy, int lanes, double* partial) {
  __shared__ double scratch[threads / 32];
  const int thread = static_cast<int>(threadIdx.x);
  const int first = static_cast<int>(blockIdx.y) * tile;
  const int pixels_per_block = threads / lanes;
  const int row = thread / lanes;

  double total[tile] = {};
  float part[tile] = {};
  int added = 0;
  const auto flush = [&] {
    for (int k = 0; k < tile; ++k) {
      total[k] += part[k];
      part[k] = 0.0F;
    }
    added = 0;
  };
  // Idle threads take no pixel, but join the sums below.
  const std::int64_t begin = row < pixels_per_block ? std::int64_t{blockIdx.x} * pixels_per_block + row : dy.pixels;
  for (std::int64_t p = begin; p < dy.pixels; p += std::int64_t{gridDim.x} * pixels_per_block) {
    for (int v = thread % lanes; v < dy.vectors; v += lanes) {
      const Vec<Width> g = load<Width>(dy.data + p * dy.stride + v * Width);
#pragma unroll
      for (int k = 0; k < tile; ++k) {
        if (first + k < terms.count) {
          const Vec<Width> x = load<Width>(terms.data[first + k] + p * terms.stride[first + k] + v * Width);
          for (int i = 0; i < Width; ++i)
            part[k] = fmaf(g.lane[i], x.lane[i], part[k]);
        }
      }
      if (++added == run) flush();
    }
  }
  flush();

#pragma unroll
  for (int k = 0; k < tile; ++k) {
    if (first + k < terms.count) {
      const double sum = block_sum<threads>(total[k], scratch);
      if (thread == 0) partial[std::int64_t{first + k} * gridDim.x + blockIdx.x] = sum;
    }
  }
}

/// Stage 2: dw[index] += sum of the term's `blocks` partial sums; one block per term.
__global__ void __launch_bounds__(threads)
    add_partials_kernel(const __grid_constant__ Terms terms, const double* partial, int blocks, float* dw) {
  __shared__ double scratch[threads / 32];
  const double* const mine = partial + std::int64_t{blockIdx.x} * blocks;
  double total = 0.0;
  for (int b = static_cast<int>(threadIdx.x); b < blocks; b += threads)
    total += mine[b];
  const double sum = block_sum<threads>(total, scratch);
  if (threadIdx.x == 0) dw[terms.index[blockIdx.x]] += static_cast<float>(sum);
}

// --- launchers ------------------------------------------------------------------------------------------------------

/// Vectors of one pixel that a block covers at a time.
int lanes_of(std::int64_t vectors) {
  return static_cast<int>(std::min<std::int64_t>(vectors, threads));
}

unsigned blocks_of(std::int64_t pixels, std::int64_t vectors) {
  const std::int64_t pixels_per_block = threads / lanes_of(vectors);
  return static_cast<unsigned>(std::min<std::int64_t>((pixels + pixels_per_block - 1) / pixels_per_block, max_blocks));
}

bool vectorisable(const TensorView& t) {
  return aligned16(t.data) && t.pixel_stride % 4 == 0 && t.channels() % 4 == 0;
}

Node node_of(const TensorView& t, int width) {
  return {t.f32(), t.pixel_stride, t.pixels(), static_cast<int>(t.channels() / width)};
}

/// Calls submit(terms, vectorised, first) for each run of up to max_terms terms whose view is not null, in order.
template <typename Submit>
void for_each_launch(std::span<const TensorView> views, std::span<const std::int32_t> index,
                     std::span<const Write> write, const TensorView& node, Submit&& submit) {
  Terms terms;
  bool vectorised = vectorisable(node);
  bool first = true;
  for (std::size_t k = 0; k < views.size(); ++k) {
    if (views[k]) {
      terms.data[terms.count] = views[k].f32();
      terms.stride[terms.count] = views[k].pixel_stride;
      terms.index[terms.count] = index[k];
      terms.accumulate[terms.count] = !write.empty() && write[k] == Write::accumulate;
      ++terms.count;
      vectorised = vectorised && vectorisable(views[k]);
    }
    if (terms.count == max_terms || (terms.count > 0 && k + 1 == views.size())) {
      submit(terms, vectorised, first);
      terms.count = 0;
      vectorised = vectorisable(node);
      first = false;
    }
  }
}

template <int Width>
void launch_forward(const Terms& terms, const TensorView& w, const TensorView& y, bool accumulate, void* stream) {
  const Node node = node_of(y, Width);
  launch("weighted_sum_forward", forward_kernel<Width>, {blocks_of(node.pixels, node.vectors), threads}, stream, terms,
         w.f32(), node, lanes_of(node.vectors), accumulate);
}

template <int Width>
void launch_backward_data(const Terms& terms, const TensorView& w, const TensorView& dy, void* stream) {
  const Node node = node_of(dy, Width);
  launch("weighted_sum_backward_data", backward_data_kernel<Width>, {blocks_of(node.pixels, node.vectors), threads},
         stream, terms, w.f32(), node, lanes_of(node.vectors));
}

template <int Width>
void launch_backward_weights(const Terms& terms, const TensorView& dy, const TensorView& dw, double* partial,
                             void* stream) {
  const Node node = node_of(dy, Width);
  const unsigned blocks = blocks_of(node.pixels, node.vectors);
  const auto tiles = static_cast<unsigned>((terms.count + tile - 1) / tile);
  launch("weighted_sum_backward_weights", backward_weights_kernel<Width>, {dim3(blocks, tiles), threads}, stream, terms,
         node, lanes_of(node.vectors), partial);
  launch("weighted_sum_backward_weights", add_partials_kernel, {static_cast<unsigned>(terms.count), threads}, stream,
         terms, partial, static_cast<int>(blocks), dw.f32());
}

}  // namespace

void weighted_sum_forward(std::span<const TensorView> x, std::span<const std::int32_t> index, const TensorView& w,
                          const TensorView& y, void* stream) {
  if (y.elements() == 0) return;
  // Storing and reloading the f32 sum between two launches changes nothing: terms are still added in their order.
  for_each_launch(x, index, {}, y, [&](const Terms& terms, bool vectorised, bool first) {
    const auto launch_width = vectorised ? launch_forward<4> : launch_forward<1>;
    launch_width(terms, w, y, !first, stream);
  });
}

void weighted_sum_backward_data(std::span<const std::int32_t> index, const TensorView& w, const TensorView& dy,
                                std::span<const TensorView> dx, std::span<const Write> write, void* stream) {
  if (dy.elements() == 0) return;
  for_each_launch(dx, index, write, dy, [&](const Terms& terms, bool vectorised, bool /*first*/) {
    const auto launch_width = vectorised ? launch_backward_data<4> : launch_backward_data<1>;
    launch_width(terms, w, dy, stream);
  });
}

std::size_t weighted_sum_workspace(const Shape& x, std::size_t terms) {
  if (x.elements() == 0) return 0;
  // Alignment, which a shape does not tell, decides the width; width 1 needs at least as many blocks as width 4.
  const std::int64_t channels = x.rank() > 0 ? x[-1] : 1;
  return std::min<std::size_t>(terms, max_terms) * blocks_of(x.elements() / channels, channels) * sizeof(double);
}

void weighted_sum_backward_weights(std::span<const TensorView> x, std::span<const std::int32_t> index,
                                   const TensorView& dy, const TensorView& dw, std::span<std::byte> workspace,
                                   void* stream) {
  if (dy.elements() == 0) return;
  auto* const partial = reinterpret_cast<double*>(workspace.data());
  for_each_launch(x, index, {}, dy, [&](const Terms& terms, bool vectorised, bool /*first*/) {
    const auto launch_width = vectorised ? launch_backward_weights<4> : launch_backward_weights<1>;
    launch_width(terms, dy, dw, partial, stream);
  });
}

}  // namespace dnas::kernels::cuda
