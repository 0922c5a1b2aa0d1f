#include "ops/pointwise_conv_cuda.hpp"

#include "core/launch.cuh"
#include "core/shared_memory.cuh"
#include "ops/pointwise_backward.cuh"
#include "ops/pointwise_forward.cuh"

#include <algorithm>

namespace dnas::kernels::cuda {
namespace {

using namespace pointwise;

// --- launchers ------------------------------------------------------------------------------------------------------

int ceil_div(std::int64_t a, std::int64_t b) {
  return static_cast<int>((a + b - 1) / b);
}

/// Columns of a tile of the product for so many channels: 16, 32 or 64.
int columns_for(std::int64_t channels) {
  return channels <= 16 ? 16 : channels <= 32 ? 32 : max_columns;
}

/// As many blocks as the device holds at a time, so that few partial results are left to add.
PointwiseTiling tiling(std::int64_t pixels, int columns, int channel_tiles, int output_tiles) {
  const int tiles = ceil_div(pixels, tile_pixels);
  const int wanted = std::max(1, resident_blocks(columns) * multiprocessors / (channel_tiles * output_tiles));
  const int per_block = ceil_div(tiles, wanted);
  return {channel_tiles, output_tiles, per_block, ceil_div(tiles, per_block), 0};
}

template <Product P>
std::size_t forward_shared_bytes(std::size_t columns, std::size_t in, bool normalised) {
  using T = Operand<P>;
  constexpr std::size_t pitch = operand_pitch<P>(depth);
  return shared_bytes<T>(2 * tile_pixels * pitch) + shared_bytes<T>(2 * columns * pitch) +
         shared_bytes<float>(columns) + shared_bytes<float>(2 * warp_rows * columns) +
         shared_bytes<MomentSums>(threads) +
         (normalised ? shared_bytes<float>(2 * ((in + depth - 1) / depth * depth)) : 0);
}

template <Product P>
std::size_t backward_shared_bytes(int columns, bool normalised) {
  using T = Operand<P>;
  const auto dy_pitch = static_cast<std::size_t>(operand_pitch<P>(columns));
  constexpr std::size_t x_pitch = operand_pitch<P>(max_columns);
  return shared_bytes<T>(tile_pixels * dy_pitch) + shared_bytes<T>(tile_pixels * x_pitch) +
         shared_bytes<T>(max_columns * dy_pitch) + shared_bytes<float>(4 * static_cast<std::size_t>(columns)) +
         (normalised ? shared_bytes<float>(2 * max_columns) : 0);
}

Geometry geometry_of(const Shape& x, const Shape& y, int stride) {
  Geometry geometry{};
  geometry.pixels = y[0] * y[1] * y[2];
  geometry.height = static_cast<int>(x[1]);
  geometry.width = static_cast<int>(x[2]);
  geometry.out_height = static_cast<int>(y[1]);
  geometry.out_width = static_cast<int>(y[2]);
  geometry.stride = stride;
  geometry.in = static_cast<int>(x[3]);
  return geometry;
}

Geometry single(const PointwiseConv& conv, const Shape& x, const Shape& y, const float* w, float* dw) {
  Geometry geometry = geometry_of(x, y, conv.stride);
  geometry.row_span = conv.stride;
  geometry.half[0] = {w, dw, conv.offset, 0, static_cast<int>(y[3])};
  geometry.halves = 1;
  return geometry;
}

Geometry factorised(const Shape& x, const Shape& y, const std::array<TensorView, 2>& w,
                    const std::array<TensorView, 2>& dw) {
  Geometry geometry = geometry_of(x, y, 2);
  geometry.row_span = 1;  // even rows are the first half's, odd rows the second's
  const auto channels = static_cast<int>(y[3] / 2);
  for (int h = 0; h < 2; ++h) {
    const auto i = static_cast<std::size_t>(h);
    geometry.half[h] = {w[i].f32(), dw[i].f32(), h, h * channels, channels};
  }
  geometry.halves = 2;
  return geometry;
}

/// Whether 16 bytes at a time may be read at every multiple of 16 bytes of channels.
template <typename T>
bool vectorised16(const TensorView& t) {
  return aligned16(t.data) && t.pixel_stride % elements16<T> == 0 && t.channels() % elements16<T> == 0;
}
bool paired(const TensorView& t) {
  return reinterpret_cast<std::uintptr_t>(t.data) % (2 * size_of(t.dtype)) == 0 && t.pixel_stride % 2 == 0;
}

template <Product P>
Source<Operand<P>> source_of(const PointwiseInput& input) {
  using T = Operand<P>;
  const TensorView& x = input.source.x;
  return {static_cast<const T*>(x.data), x.pixel_stride, input.source.normalisation.f32(), input.relu,
          vectorised16<T>(x)};
}

/// Calls submit.template operator()<P, Columns>().
template <typename Submit>
void with_product(Product product, int columns, Submit&& submit) {
  const auto with_columns = [&]<Product P>() {
    switch (columns) {
      case 16:
        return submit.template operator()<P, 16>();
      case 32:
        return submit.template operator()<P, 32>();
      default:
        return submit.template operator()<P, 64>();
    }
  };
  switch (product) {
    case Product::tf32x3:
      return with_columns.template operator()<Product::tf32x3>();
    case Product::tf32:
      return with_columns.template operator()<Product::tf32>();
    case Product::bf16:
      return with_columns.template operator()<Product::bf16>();
  }
}

void forward(const char* operation, const BatchNorm& bn, const Geometry& geometry, const PointwiseInput& input,
             const TensorView& y, const PointwiseStatistics& statistics, Product product,
             std::span<std::byte> workspace, void* stream) {
  const int channels = geometry.half[0].channels;
  const PointwiseTiling plan = pointwise_forward_tiling(geometry.pixels, y.channels(), geometry.halves);
  Statistics target{};
  if (statistics.normalisation) {
    const std::size_t counters = counter_bytes(static_cast<std::size_t>(plan.counters));
    target = {statistics.normalisation.f32(),
              {statistics.running.mean.f32(), statistics.running.var.f32()},
              bn.epsilon,
              bn.momentum,
              reinterpret_cast<ShiftedSums*>(workspace.data() + counters),
              reinterpret_cast<unsigned*>(workspace.data())};
  }
  with_product(product, columns_for(channels), [&]<Product P, int Columns>() {
    const bool pairs = paired(y) && channels % 2 == 0;
    launch(operation, forward_kernel<P, Columns>,
           {dim3(static_cast<unsigned>(plan.blocks), static_cast<unsigned>(plan.channel_tiles)), threads,
            forward_shared_bytes<P>(Columns, static_cast<std::size_t>(geometry.in),
                                    static_cast<bool>(input.source.normalisation))},
           stream, geometry, source_of<P>(input), static_cast<Operand<P>*>(y.data), y.pixel_stride, pairs,
           plan.tiles_per_block, target);
  });
}

void backward(const char* operation, const Geometry& geometry, const PointwiseInput& input,
              const PointwiseOutputGradient& output, const PointwiseInputGradient& to, bool want_dw, Write write_dw,
              Product product, std::span<std::byte> workspace, void* stream) {
  const int channels = geometry.half[0].channels;
  const int columns = columns_for(channels);
  const int out_tiles = ceil_div(channels, columns);
  with_product(product, columns, [&]<Product P, int Columns>() {
    using T = Operand<P>;
    const bool first_halves_aligned = channels % elements16<T> == 0;  // where the second half begins
    const Gradient<T> gradient{
        static_cast<const T*>(output.g.data),
        output.g.pixel_stride,
        static_cast<const T*>(output.y.data),
        output.y.pixel_stride,
        output.gradient.f32(),
        vectorised16<T>(output.g) && first_halves_aligned && (!output.gradient || vectorised16<T>(output.y))};
    // dx: null, or summed over all tiles of output channels.
    const auto submit = [&](const PointwiseTiling& plan, const TensorView& dx, bool dw) {
      float* parts = nullptr;
      unsigned* counters = nullptr;
      if (dw) {
        counters = reinterpret_cast<unsigned*>(workspace.data());
        parts = reinterpret_cast<float*>(workspace.data() + counter_bytes(static_cast<std::size_t>(plan.counters)));
      }
      launch(operation, backward_kernel<P, Columns>,
             {dim3(static_cast<unsigned>(plan.blocks), static_cast<unsigned>(plan.channel_tiles),
                   static_cast<unsigned>(plan.output_tiles)),
              threads, backward_shared_bytes<P>(Columns, static_cast<bool>(input.source.normalisation))},
             stream, geometry, source_of<P>(input), gradient, static_cast<T*>(dx.data), dx.pixel_stride,
             paired(dx) && geometry.in % 2 == 0, to.write == Write::accumulate, dx ? out_tiles : 0,
             write_dw == Write::accumulate, plan.tiles_per_block, parts, counters);
    };
    PointwiseTiling plan =
        pointwise_backward_tiling(geometry.pixels, geometry.in, channels * geometry.halves, geometry.halves);
    if (plan.output_tiles == 1) {
      submit(plan, to.dx, want_dw);
      return;
    }
    if (want_dw) submit(plan, {}, true);
    if (to.dx) submit(tiling(geometry.pixels, columns, plan.channel_tiles, 1), to.dx, false);
  });
}

}  // namespace

PointwiseTiling pointwise_forward_tiling(std::int64_t pixels, std::int64_t out_channels, int halves) {
  const std::int64_t channels = out_channels / halves;
  const int columns = columns_for(channels);
  PointwiseTiling plan = tiling(pixels, columns, halves * ceil_div(channels, columns), 1);
  plan.counters = plan.channel_tiles;
  return plan;
}

PointwiseTiling pointwise_backward_tiling(std::int64_t pixels, std::int64_t in_channels, std::int64_t out_channels,
                                          int halves) {
  const std::int64_t channels = out_channels / halves;
  const int columns = columns_for(channels);
  PointwiseTiling plan =
      tiling(pixels, columns, halves * ceil_div(in_channels, max_columns), ceil_div(channels, columns));
  plan.counters = plan.channel_tiles * plan.output_tiles * add_counters(plan.blocks);
  return plan;
}

std::size_t pointwise_conv_forward_workspace(const Shape& y) {
  std::size_t bytes = 0;
  for (const int halves : {1, 2}) {
    const PointwiseTiling plan = pointwise_forward_tiling(y[0] * y[1] * y[2], y[3], halves);
    bytes = std::max(bytes, counter_bytes(static_cast<std::size_t>(plan.counters)) +
                                static_cast<std::size_t>(plan.blocks * y[3]) * sizeof(ShiftedSums));
  }
  return bytes;
}

std::size_t pointwise_conv_backward_workspace(const Shape& x, const Shape& y) {
  std::size_t bytes = 0;
  for (const int halves : {1, 2}) {
    const PointwiseTiling plan = pointwise_backward_tiling(y[0] * y[1] * y[2], x[3], y[3], halves);
    const auto groups = static_cast<std::size_t>(plan.channel_tiles * plan.output_tiles);
    const auto elements = static_cast<std::size_t>(columns_for(y[3] / halves) * max_columns);
    bytes = std::max(bytes, counter_bytes(static_cast<std::size_t>(plan.counters)) +
                                groups * static_cast<std::size_t>(plan.blocks) * elements * sizeof(float));
  }
  return bytes;
}

void pointwise_conv_forward(const BatchNorm& bn, const PointwiseConv& conv, const PointwiseInput& input,
                            const TensorView& w, const TensorView& y, const PointwiseStatistics& statistics,
                            Product product, std::span<std::byte> workspace, void* stream) {
  forward("pointwise_conv_forward", bn, single(conv, input.source.x.shape, y.shape, w.f32(), nullptr), input, y,
          statistics, product, workspace, stream);
}

void pointwise_conv_backward(const PointwiseConv& conv, const PointwiseInput& input, const TensorView& w,
                             const PointwiseOutputGradient& output, const PointwiseInputGradient& dx,
                             const TensorView& dw, Write write_dw, Product product, std::span<std::byte> workspace,
                             void* stream) {
  if (!dx.dx && !dw) return;
  backward("pointwise_conv_backward", single(conv, input.source.x.shape, output.g.shape, w.f32(), dw.f32()), input,
           output, dx, static_cast<bool>(dw), write_dw, product, workspace, stream);
}

void factorised_reduce_forward(const BatchNorm& bn, const PointwiseInput& input, const std::array<TensorView, 2>& w,
                               const TensorView& y, const PointwiseStatistics& statistics, Product product,
                               std::span<std::byte> workspace, void* stream) {
  forward("factorised_reduce_forward", bn, factorised(input.source.x.shape, y.shape, w, {}), input, y, statistics,
          product, workspace, stream);
}

void factorised_reduce_backward(const PointwiseInput& input, const std::array<TensorView, 2>& w,
                                const PointwiseOutputGradient& output, const PointwiseInputGradient& dx,
                                const std::array<TensorView, 2>& dw, Write write_dw, Product product,
                                std::span<std::byte> workspace, void* stream) {
  if (!dx.dx && !dw[0]) return;
  backward("factorised_reduce_backward", factorised(input.source.x.shape, output.g.shape, w, dw), input, output, dx,
           static_cast<bool>(dw[0]), write_dw, product, workspace, stream);
}

}  // namespace dnas::kernels::cuda
