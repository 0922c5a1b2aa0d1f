#include "ops/conv_cpu.hpp"

#include "core/blocks.hpp"
#include "core/gemm.hpp"
#include "core/parallel_for.hpp"
#include "core/partial_sums.hpp"
#include "core/zero_pixels.hpp"

#include <algorithm>
#include <cstring>

namespace dnas::kernels::cpu {

namespace {

constexpr std::int64_t most_partials = 32;

// Gathered patches of one block, 256 KiB: with its part of y it stays in a second-level cache. Not critical: from 32
// KiB to 1 MiB tests/bench/conv_bench sees no difference beyond its noise.
constexpr std::int64_t patch_floats = 1 << 16;

// Sizes of the matrix products and of the workspace's parts.
struct Plan {
  std::int64_t patch;    // floats of one patch [kh, kw, Cin]
  std::int64_t filters;  // Cout
  std::int64_t pixels;   // of y, all images
  std::int64_t per_image;
  std::int64_t block;  // pixels whose patches are gathered at a time
  std::int64_t slot;   // floats of one worker's patches, whole cache lines

  Plan(const Conv& conv, const Shape& x, const Shape& y)
      : patch(conv.kernel_h * conv.kernel_w * x[-1]),
        filters(y[-1]),
        pixels(y[0] * y[1] * y[2]),
        per_image(y[1] * y[2]),
        block(std::min(pixels, std::clamp<std::int64_t>(patch_floats / patch, 16, 4096))),
        slot((block * patch + 15) / 16 * 16) {}

  [[nodiscard]] Blocks blocks() const { return {pixels, block}; }
  [[nodiscard]] Blocks partials() const { return at_most(most_partials, blocks()); }
  [[nodiscard]] Blocks image_blocks() const { return {per_image, block}; }
};

// Every worker has a slot of the workspace for its patches. What is computed does not depend on who computes it.
template <typename Body>
void share_out(const Context& ctx, std::int64_t count, Body&& body) {
  const std::int64_t workers = std::min<std::int64_t>(ctx.threads(), count);
  parallel_for(ctx, workers, [&](std::int64_t worker) {
    for (std::int64_t i = worker; i < count; i += workers)
      body(worker, i);
  });
}

// Calls body(float of the patch block, float of x or -1 for padding, length) for each run of floats that the patches
// of output pixels [begin, end) have in common with x, in the order of the patches.
template <typename Body>
void for_each_run(const Conv& conv, const TensorView& x, const Shape& y, std::int64_t begin, std::int64_t end,
                  Body&& body) {
  const std::int64_t channels = x.channels();
  const std::int64_t width = x.shape[2];
  std::int64_t column_of_y = begin % y[2];
  std::int64_t row_of_y = begin / y[2] % y[1];
  std::int64_t image = begin / (y[1] * y[2]);
  std::int64_t at = 0;
  for (std::int64_t p = begin; p < end; ++p) {
    const std::int64_t top = row_of_y * conv.stride_h - conv.padding_h;
    const std::int64_t left = column_of_y * conv.stride_w - conv.padding_w;
    const std::int64_t first = std::clamp<std::int64_t>(-left, 0, conv.kernel_w);            // columns of the kernel
    const std::int64_t last = std::clamp<std::int64_t>(width - left, first, conv.kernel_w);  // that lie on x
    for (std::int64_t row = top; row < top + conv.kernel_h; ++row, at += conv.kernel_w * channels) {
      if (row < 0 || row >= x.shape[1] || first == last) {
        body(at, std::int64_t{-1}, conv.kernel_w * channels);
        continue;
      }
      if (first > 0) body(at, std::int64_t{-1}, first * channels);
      const std::int64_t pixel = (image * x.shape[1] + row) * width + left;
      if (x.dense()) {
        body(at + first * channels, (pixel + first) * channels, (last - first) * channels);
      } else {
        for (std::int64_t column = first; column < last; ++column)
          body(at + column * channels, (pixel + column) * x.pixel_stride, channels);
      }
      if (last < conv.kernel_w) body(at + last * channels, std::int64_t{-1}, (conv.kernel_w - last) * channels);
    }
    if (++column_of_y == y[2]) {
      column_of_y = 0;
      if (++row_of_y == y[1]) {
        row_of_y = 0;
        ++image;
      }
    }
  }
}

// Runs are short (9 floats in a stem), so that calling memmove costs more than copying: whole vectors, the last of
// which overlaps the one before.
inline void copy_run(const float* from, std::int64_t length, float* to) {
  constexpr std::int64_t lanes = 4;
  if (length < lanes) {
    for (std::int64_t i = 0; i < length; ++i)
      to[i] = from[i];
    return;
  }
  for (std::int64_t i = 0; i < length - lanes; i += lanes)
    std::memcpy(to + i, from + i, lanes * sizeof(float));
  std::memcpy(to + length - lanes, from + length - lanes, lanes * sizeof(float));
}

void gather_patches(const Conv& conv, const TensorView& x, const Shape& y, std::int64_t begin, std::int64_t end,
                    float* patches) {
  const float* source = x.f32();
  for_each_run(conv, x, y, begin, end, [&](std::int64_t at, std::int64_t from, std::int64_t length) {
    if (from < 0) {
      std::fill_n(patches + at, length, 0.0F);
    } else {
      copy_run(source + from, length, patches + at);
    }
  });
}

void scatter_patches(const Conv& conv, const TensorView& dx, const Shape& y, std::int64_t begin, std::int64_t end,
                     const float* patches) {
  float* target = dx.f32();
  for_each_run(conv, dx, y, begin, end, [&](std::int64_t at, std::int64_t to, std::int64_t length) {
    if (to < 0) return;
    for (std::int64_t i = 0; i < length; ++i)
      target[to + i] += patches[at + i];
  });
}

}  // namespace

std::int64_t conv_floats(const Context& ctx, const Conv& conv, const Shape& x, const Shape& y) {
  const Plan plan(conv, x, y);
  // Forward keeps the transposed weights beside the patches, backward_weight the partial gradients.
  return ctx.threads() * plan.slot + plan.partials().count() * plan.patch * plan.filters;
}

void conv_forward(const Context& ctx, const Conv& conv, const TensorView& x, const TensorView& w, const TensorView& y,
                  float* workspace) {
  const Plan plan(conv, x.shape, y.shape);
  float* weights = workspace + ctx.threads() * plan.slot;  // [patch, filters]: transposed once, not once per block
  transpose(plan.filters, plan.patch, w.f32(), plan.patch, weights, plan.filters);

  const Blocks blocks = plan.blocks();
  share_out(ctx, blocks.count(), [&](std::int64_t worker, std::int64_t i) {
    float* patches = workspace + worker * plan.slot;
    gather_patches(conv, x, y.shape, blocks.begin(i), blocks.end(i), patches);
    const Gemm product{.m = blocks.end(i) - blocks.begin(i),
                       .n = plan.filters,
                       .k = plan.patch,
                       .lda = plan.patch,
                       .ldb = plan.filters,
                       .ldc = y.pixel_stride};
    gemm(product, patches, weights, y.f32() + blocks.begin(i) * y.pixel_stride);
  });
}

void conv_backward_data(const Context& ctx, const Conv& conv, const TensorView& dy, const TensorView& w,
                        const TensorView& dx, Write write, float* workspace) {
  const Plan plan(conv, dx.shape, dy.shape);
  const Blocks blocks = plan.image_blocks();
  // Patches overlap, so that two workers on one image would write to the same pixels.
  share_out(ctx, dx.shape[0], [&](std::int64_t worker, std::int64_t image) {
    float* patches = workspace + worker * plan.slot;
    if (write == Write::overwrite) zero_pixels(dx, image * dx.shape[1] * dx.shape[2], dx.shape[1] * dx.shape[2]);
    for (std::int64_t i = 0; i < blocks.count(); ++i) {
      const std::int64_t begin = image * plan.per_image + blocks.begin(i);
      const std::int64_t end = image * plan.per_image + blocks.end(i);
      const Gemm product{.m = end - begin,
                         .n = plan.patch,
                         .k = plan.filters,
                         .lda = dy.pixel_stride,
                         .ldb = plan.patch,
                         .ldc = plan.patch};
      gemm(product, dy.f32() + begin * dy.pixel_stride, w.f32(), patches);
      scatter_patches(conv, dx, dy.shape, begin, end, patches);
    }
  });
}

void conv_backward_weight(const Context& ctx, const Conv& conv, const TensorView& x, const TensorView& dy,
                          const TensorView& dw, Write write, float* workspace) {
  const Plan plan(conv, x.shape, dy.shape);
  const Blocks sums = plan.partials();
  float* partials = workspace + ctx.threads() * plan.slot;
  share_out(ctx, sums.count(), [&](std::int64_t worker, std::int64_t i) {
    float* patches = workspace + worker * plan.slot;
    for (std::int64_t begin = sums.begin(i); begin < sums.end(i); begin += plan.block) {
      const std::int64_t end = std::min(sums.end(i), begin + plan.block);
      gather_patches(conv, x, dy.shape, begin, end, patches);
      const Gemm product{.m = plan.filters,
                         .n = plan.patch,
                         .k = end - begin,
                         .lda = dy.pixel_stride,
                         .ldb = plan.patch,
                         .ldc = plan.patch,
                         .trans_a = true,
                         .write = begin == sums.begin(i) ? Write::overwrite : Write::accumulate};
      gemm(product, dy.f32() + begin * dy.pixel_stride, patches, partials + i * dw.elements());
    }
  });
  add_partials(ctx, partials, sums.count(), dw.elements(), write, dw.f32());
}

}  // namespace dnas::kernels::cpu
