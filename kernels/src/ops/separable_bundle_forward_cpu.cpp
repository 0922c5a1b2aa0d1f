#include "core/batch_moments.hpp"
#include "core/check.hpp"
#include "core/inline_vector.hpp"
#include "core/worker_slots.hpp"
#include "ops/bundle_geometry.hpp"
#include "ops/pixel_tiles.hpp"
#include "ops/separable_bundle_cpu.hpp"

#include <array>

namespace dnas::kernels::cpu {
namespace {

/// A term, ready to run.
struct Term {
  TapGrid taps;
  std::int64_t channels;  ///< of y
  float* weights;         ///< packed taps
  float* pointwise;       ///< [C, C_k]: transposed
  float* moments;         ///< [images, moment_rows, C_k]
};

class Forward {
 public:
  Forward(const Context& ctx, const SeparableBundle& bundle, const Shape& x, std::span<const std::int64_t> out_channels,
          std::span<std::byte> workspace = {})
      : ctx_(ctx),
        geometry_(bundle, x),
        tile_(geometry_.planes, geometry_.out_height, geometry_.out_width),
        count_(bundle.windows.size()),
        carver_(workspace),
        rows_(carver_, geometry_.planes) {
    const PlaneShape& planes = geometry_.planes;
    for (std::size_t k = 0; k < count_; ++k) {
      Term& term = terms_.emplace_back();
      const SeparableWindow& w = bundle.windows[k];
      term.taps = TapGrid(planes, geometry_.rows(bundle, w), geometry_.columns(bundle, w));
      term.channels = out_channels[k];
      term.weights = carver_.floats(packed_tap_floats(planes, std::int64_t{w.kernel} * w.kernel));
      term.pointwise = carver_.floats(x[3] * term.channels);
      term.moments = carver_.floats(geometry_.images * moment_rows * term.channels);
    }
    slot_floats_ = planes.floats() + (tile_.floats() + lanes16 - 1) / lanes16 * lanes16;
    scratch_ = carver_.floats(slot_floats_ * worker_slots(ctx, geometry_.images));
  }

  [[nodiscard]] std::size_t bytes() const { return carver_.bytes(); }

  void run(const SeparableBundle& bundle, const BatchNorm& bn, const BundleSource& source,
           std::span<const BundleTerm> terms) {
    const PlaneShape& planes = geometry_.planes;
    const bool normalised = static_cast<bool>(source.normalisation);
    if (normalised) rows_.fill(source.normalisation);
    for (std::size_t k = 0; k < count_; ++k) {
      const SeparableWindow& w = bundle.windows[k];
      pack_taps(planes, geometry_.rows(bundle, w), geometry_.columns(bundle, w), terms[k].filter.f32(), w.kernel,
                terms_[k].weights);
      transpose(terms_[k].channels, planes.channels, terms[k].pointwise.f32(), planes.channels, terms_[k].pointwise,
                terms_[k].channels);
    }
    parallel_for_slots(
        ctx_, geometry_.images, [&](std::int64_t slot) { std::fill_n(scratch(slot), planes.floats(), 0.0F); },
        [&](std::int64_t image, std::int64_t slot) {
          float* image_planes = scratch(slot);
          load_planes(
              planes,
              geometry_.image(source, image, normalised ? rows_.mean : nullptr, normalised ? rows_.rstd : nullptr),
              image_planes);
          for (std::size_t k = 0; k < count_; ++k)
            run_term(terms_[k], terms[k].y, image, image_planes, image_planes + planes.floats());
        });
    parallel_for(ctx_, static_cast<std::int64_t>(count_), [&](std::int64_t i) {
      const auto k = static_cast<std::size_t>(i);
      finish_statistics(bn, {geometry_.images * geometry_.out_pixels(), geometry_.out_pixels()}, terms_[k].moments,
                        terms_[k].channels, {&terms[k].running, 1}, terms[k].normalisation);
    });
  }

 private:
  [[nodiscard]] float* scratch(std::int64_t slot) const { return scratch_ + slot * slot_floats_; }

  /// One image of one term: tile by tile, each while it is in the first-level cache.
  void run_term(const Term& term, const TensorView& y, std::int64_t image, const float* image_planes, float* d) const {
    float* moments = term.moments + image * moment_rows * term.channels;
    float* out = y.f32() + image * geometry_.out_pixels() * y.pixel_stride;
    for (std::int64_t row = 0; row < geometry_.out_height; row += tile_.rows) {
      const std::int64_t row_end = std::min(row + tile_.rows, geometry_.out_height);
      correlate_tile(geometry_.planes, term.taps, term.weights, image_planes, tile_, row, row_end, d);
      float* first = out + row * geometry_.out_width * y.pixel_stride;
      multiply(term, d, row_end - row, first, y.pixel_stride);
      if (row == 0) {
        std::copy_n(first, term.channels, moments);
        std::fill_n(moments + term.channels, 2 * term.channels, 0.0F);
      }
      add_moments({first, y.pixel_stride, (row_end - row) * geometry_.out_width, term.channels}, moments);
    }
  }

  void multiply(const Term& term, const float* d, std::int64_t rows, float* y, std::int64_t y_stride) const {
    const PlaneShape& planes = geometry_.planes;
    const bool gapless = tile_.gapless(planes);
    gemm({.m = gapless ? rows * tile_.width : tile_.width,
          .n = term.channels,
          .k = planes.channels,
          .lda = planes.padded_channels(),
          .ldb = term.channels,
          .ldc = y_stride,
          .batch = gapless ? 1 : rows,
          .a_step = tile_.pitch,
          .b_step = 0,
          .c_step = tile_.width * y_stride},
         d, term.pointwise, y);
  }

  const Context& ctx_;
  BundleGeometry geometry_;
  DepthwiseTile tile_;
  std::size_t count_;
  Carver carver_;
  SourceRows rows_;
  InlineVector<Term, max_bundle_terms> terms_;
  std::int64_t slot_floats_ = 0;
  float* scratch_ = nullptr;
};

}  // namespace

std::size_t separable_bundle_forward_workspace(const Context& ctx, const SeparableBundle& bundle, const Shape& x,
                                               std::span<const std::int64_t> out_channels) {
  return Forward(ctx, bundle, x, out_channels).bytes();
}

void separable_bundle_forward(const Context& ctx, const SeparableBundle& bundle, const BatchNorm& bn,
                              const BundleSource& source, std::span<const BundleTerm> terms,
                              std::span<std::byte> workspace) {
  std::array<std::int64_t, max_bundle_terms> channels{};
  for (std::size_t k = 0; k < terms.size(); ++k)
    channels[k] = terms[k].y.channels();
  Forward pass(ctx, bundle, source.x.shape, std::span(channels).first(terms.size()), workspace);
  check::workspace("separable_bundle_forward", workspace, pass.bytes());
  pass.run(bundle, bn, source, terms);
}

}  // namespace dnas::kernels::cpu
