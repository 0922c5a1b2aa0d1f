#include "ops/pointwise_conv_cpu.hpp"

#include "core/blocks.hpp"
#include "core/gemm.hpp"
#include "core/parallel_for.hpp"
#include "core/partial_sums.hpp"
#include "core/zero_pixels.hpp"

#include <algorithm>

namespace dnas::kernels::cpu {

namespace {

// More partial gradients would balance more threads, but cost memory traffic for wide layers.
constexpr std::int64_t most_partials = 32;

// Pixels of one block: about 2 Mflop (10 us), within limits that keep transposing the weights cheap (wide layers) and
// leave some blocks for every thread (narrow layers). tests/bench/pointwise_conv_bench, one thread: 256 pixels instead
// cost 5 to 10 % in most layers and 40 % in the narrowest; more pixels gain nothing.
std::int64_t pixels_per_block(std::int64_t in_channels, std::int64_t out_channels) {
  constexpr std::int64_t products = 1 << 20;
  return std::clamp<std::int64_t>(products / (in_channels * out_channels), 512, 2048);
}

// How the output's rows of pixels lie in memory. With stride 1 they follow each other without a gap, on both sides,
// and a block of rows is one product. With a larger stride every row is a product of its own, read (or written) in
// place with the stride as its leading dimension. Rows are numbered through all images where their distance allows.
struct Rows {
  std::int64_t groups;  // of `rows` rows each: one for all images, or one per image
  std::int64_t rows;
  std::int64_t width;  // pixels of a row of y
  bool contiguous;
  std::int64_t in_channels, out_channels;
  std::int64_t x_origin, x_group, x_row, x_pixel;  // elements
  std::int64_t y_group, y_row, y_pixel;
  std::int64_t x_group_rows;  // rows of x per group

  Rows(const PointwiseConv& conv, const TensorView& x, const TensorView& y) {
    const std::int64_t images = x.shape[0];
    const bool even = x.shape[1] == conv.stride * y.shape[1];
    groups = even ? 1 : images;
    rows = even ? images * y.shape[1] : y.shape[1];
    width = y.shape[2];
    contiguous = conv.stride == 1 && conv.offset == 0;
    in_channels = x.channels();
    out_channels = y.channels();
    const std::int64_t x_line = x.shape[2] * x.pixel_stride;  // one row of x
    x_origin = conv.offset * (x_line + x.pixel_stride);
    x_group = x.shape[1] * x_line;
    x_row = conv.stride * x_line;
    x_pixel = conv.stride * x.pixel_stride;
    y_group = y.shape[1] * width * y.pixel_stride;
    y_row = width * y.pixel_stride;
    y_pixel = y.pixel_stride;
    x_group_rows = even ? images * x.shape[1] : x.shape[1];
  }

  [[nodiscard]] Blocks blocks() const {
    return {rows, std::max<std::int64_t>(1, pixels_per_block(in_channels, out_channels) / width)};
  }
  [[nodiscard]] std::int64_t pixels(std::int64_t count) const { return contiguous ? count * width : width; }
  [[nodiscard]] std::int64_t products(std::int64_t count) const { return contiguous ? 1 : count; }
  [[nodiscard]] std::int64_t x_at(std::int64_t group, std::int64_t row) const {
    return x_origin + group * x_group + row * x_row;
  }
  [[nodiscard]] std::int64_t y_at(std::int64_t group, std::int64_t row) const { return group * y_group + row * y_row; }
};

// Calls body(group, first row, end row) for each block of rows.
template <typename Body>
void for_each_block(const Context& ctx, const Rows& rows, Body&& body) {
  const Blocks blocks = rows.blocks();
  parallel_for(ctx, rows.groups * blocks.count(), [&](std::int64_t i) {
    const std::int64_t group = i / blocks.count();
    const std::int64_t block = i % blocks.count();
    body(group, blocks.begin(block), blocks.end(block));
  });
}

// Zeroes the rows of dx from where the block's first row is read to where the next block's is; the first and last
// block of a group take what lies before and after.
void zero_block(const PointwiseConv& conv, const Rows& rows, const TensorView& dx, std::int64_t group,
                std::int64_t begin, std::int64_t end) {
  const std::int64_t first = begin == 0 ? 0 : begin * conv.stride + conv.offset;
  const std::int64_t last = end == rows.rows ? rows.x_group_rows : end * conv.stride + conv.offset;
  const std::int64_t width = dx.shape[2];
  zero_pixels(dx, (group * rows.x_group_rows + first) * width, (last - first) * width);
}

// The blocks that are summed up in one partial gradient.
Blocks partials(const Rows& rows) {
  return at_most(most_partials, {rows.groups * rows.blocks().count(), 1});
}

}  // namespace

void pointwise_conv_forward(const Context& ctx, const PointwiseConv& conv, const TensorView& x, const TensorView& w,
                            const TensorView& y) {
  const Rows rows(conv, x, y);
  for_each_block(ctx, rows, [&](std::int64_t group, std::int64_t begin, std::int64_t end) {
    const Gemm product{.m = rows.pixels(end - begin),
                       .n = rows.out_channels,
                       .k = rows.in_channels,
                       .lda = rows.x_pixel,
                       .ldb = rows.in_channels,
                       .ldc = rows.y_pixel,
                       .trans_b = true,
                       .batch = rows.products(end - begin),
                       .a_step = rows.x_row,
                       .c_step = rows.y_row};
    gemm(product, x.f32() + rows.x_at(group, begin), w.f32(), y.f32() + rows.y_at(group, begin));
  });
}

void pointwise_conv_backward_data(const Context& ctx, const PointwiseConv& conv, const TensorView& dy,
                                  const TensorView& w, const TensorView& dx, Write write) {
  const Rows rows(conv, dx, dy);
  for_each_block(ctx, rows, [&](std::int64_t group, std::int64_t begin, std::int64_t end) {
    if (write == Write::overwrite && !rows.contiguous) zero_block(conv, rows, dx, group, begin, end);
    const Gemm product{.m = rows.pixels(end - begin),
                       .n = rows.in_channels,
                       .k = rows.out_channels,
                       .lda = rows.y_pixel,
                       .ldb = rows.in_channels,
                       .ldc = rows.x_pixel,
                       .write = write,
                       .batch = rows.products(end - begin),
                       .a_step = rows.y_row,
                       .c_step = rows.x_row};
    gemm(product, dy.f32() + rows.y_at(group, begin), w.f32(), dx.f32() + rows.x_at(group, begin));
  });
}

std::int64_t pointwise_conv_backward_weight_floats(const PointwiseConv& conv, const Shape& x, const Shape& y) {
  const Rows rows(conv, {nullptr, x}, {nullptr, y});
  return partials(rows).count() * rows.in_channels * rows.out_channels;
}

void pointwise_conv_backward_weight(const Context& ctx, const PointwiseConv& conv, const TensorView& x,
                                    const TensorView& dy, const TensorView& dw, Write write, float* workspace) {
  const Rows rows(conv, x, dy);
  const Blocks blocks = rows.blocks();
  const Blocks sums = partials(rows);
  const std::int64_t elements = dw.elements();
  parallel_for(ctx, sums.count(), [&](std::int64_t i) {
    for (std::int64_t j = sums.begin(i); j < sums.end(i); ++j) {
      const std::int64_t group = j / blocks.count();
      const std::int64_t begin = blocks.begin(j % blocks.count());
      const std::int64_t end = blocks.end(j % blocks.count());
      const Gemm product{.m = rows.out_channels,
                         .n = rows.in_channels,
                         .k = rows.pixels(end - begin),
                         .lda = rows.y_pixel,
                         .ldb = rows.x_pixel,
                         .ldc = rows.in_channels,
                         .trans_a = true,
                         .write = j == sums.begin(i) ? Write::overwrite : Write::accumulate,
                         .batch = rows.products(end - begin),
                         .a_step = rows.y_row,
                         .b_step = rows.x_row};
      gemm(product, dy.f32() + rows.y_at(group, begin), x.f32() + rows.x_at(group, begin), workspace + i * elements);
    }
  });
  add_partials(ctx, workspace, sums.count(), elements, write, dw.f32());
}

}  // namespace dnas::kernels::cpu
