#include "core/batch_moments.hpp"
#include "core/check.hpp"
#include "core/inline_vector.hpp"
#include "core/partial_sums.hpp"
#include "core/worker_slots.hpp"
#include "ops/bundle_geometry.hpp"
#include "ops/pixel_tiles.hpp"
#include "ops/separable_bundle_cpu.hpp"

#include <array>

// Per image and term, everything in cache:
//   dy = scale g + slope (y - mean) + offset     a tile of rows at a time
//   dpointwise += dy^T d, d computed again       the same tile
//   dd = dy pointwise                            right into planes
//   dfilter += sum of dd z under each tap        over the image
//   dz += the window's adjoint over dd           over the image, one phase of the stride after the other
// and, after the last term, dx = dz where z > 0.
namespace dnas::kernels::cpu {
namespace {

constexpr int max_phases = 4;

/// The adjoint of a term's window for the source pixels of one phase of the stride.
struct Phase {
  TapGrid taps;
  std::int64_t rows;     ///< of the source in this phase
  std::int64_t vectors;  ///< of such a row
  std::int64_t target;   ///< floats from a block of the source's planes to its first pixel
  float* weights;
};

struct Term {
  TapGrid taps;
  std::int64_t channels;  ///< of y
  std::int64_t filter_floats;
  std::int64_t pointwise_floats;
  float* weights;          ///< packed taps
  float* filter_parts;     ///< [chunks, blocks, taps, 16]
  float* pointwise_parts;  ///< [chunks, C_k, C]
  std::array<Phase, max_phases> phases;
};

/// Images are shared out in chunks that sum weight gradients into parts of their own: by shape alone, few enough that
/// adding the parts up costs little.
Blocks chunks_of(std::int64_t images, std::int64_t part_floats) {
  constexpr std::int64_t most = 32;
  constexpr std::int64_t least = 8;
  constexpr std::int64_t floats = std::int64_t{1} << 22;  // 16 MiB for all parts, if `least` of them fit
  const std::int64_t chunks = std::clamp(floats / std::max<std::int64_t>(part_floats, 1), least, most);
  return at_most(chunks, {images, 1});
}

class Backward {
 public:
  Backward(const Context& ctx, const SeparableBundle& bundle, const Shape& x,
           std::span<const std::int64_t> out_channels, std::span<std::byte> workspace = {})
      : ctx_(ctx),
        geometry_(bundle, x),
        tile_(geometry_.planes, geometry_.out_height, geometry_.out_width),
        count_(bundle.windows.size()),
        carver_(workspace),
        rows_(carver_, geometry_.planes) {
    const PlaneShape& planes = geometry_.planes;
    gradient_planes_ = gradient_planes(bundle);
    std::int64_t part_floats = 0;
    std::int64_t widest = 1;
    for (std::size_t k = 0; k < count_; ++k) {
      const SeparableWindow& w = bundle.windows[k];
      const std::int64_t taps = std::int64_t{geometry_.rows(bundle, w).taps} * geometry_.columns(bundle, w).taps;
      Term& term = terms_.emplace_back();
      term.channels = out_channels[k];
      term.filter_floats = packed_tap_floats(planes, taps);
      term.pointwise_floats = out_channels[k] * planes.channels;
      part_floats += term.filter_floats + term.pointwise_floats;
      widest = std::max(widest, out_channels[k]);
    }
    chunks_ = chunks_of(geometry_.images, part_floats);
    for (std::size_t k = 0; k < count_; ++k)
      prepare(bundle, bundle.windows[k], terms_[k]);
    sums_ = carver_.floats(geometry_.images * 2 * planes.padded_channels());
    totals_ = carver_.doubles(2 * planes.channels);
    const std::int64_t pixels = tile_.rows * tile_.width;
    dy_at_ = 2 * planes.floats() + gradient_planes_.floats();
    d_at_ = dy_at_ + (pixels * widest + lanes16 - 1) / lanes16 * lanes16;
    slot_floats_ = d_at_ + tile_.floats();
    scratch_ = carver_.floats(slot_floats_ * worker_slots(ctx, chunks_.count()));
  }

  [[nodiscard]] std::size_t bytes() const { return carver_.bytes(); }

  void run(const SeparableBundle& bundle, const BundleSource& source, std::span<const BundleTermGradient> terms,
           const BundleSourceGradient& gradient) {
    const bool normalised = static_cast<bool>(source.normalisation);
    if (normalised) rows_.fill(source.normalisation);
    for (std::size_t k = 0; k < count_; ++k)
      pack(bundle, bundle.windows[k], terms[k].filter.f32(), terms_[k]);
    const float* mean = normalised ? rows_.mean : nullptr;
    const float* rstd = normalised ? rows_.rstd : nullptr;
    parallel_for_slots(
        ctx_, chunks_.count(), [&](std::int64_t slot) { std::fill_n(scratch(slot), dy_at_, 0.0F); },
        [&](std::int64_t chunk, std::int64_t slot) {
          clear_parts(terms, chunk);
          for (std::int64_t image = chunks_.begin(chunk); image < chunks_.end(chunk); ++image) {
            load_planes(geometry_.planes, geometry_.image(source, image, mean, rstd), scratch(slot));
            for (std::size_t k = 0; k < count_; ++k)
              run_term(k, terms, static_cast<bool>(gradient.dx), image, chunk, slot);
            if (gradient.dx) store(gradient, image, scratch(slot));
          }
        });
    parallel_for(ctx_, static_cast<std::int64_t>(count_), [&](std::int64_t k) {
      add_parts(bundle, bundle.windows[static_cast<std::size_t>(k)], terms_[static_cast<std::size_t>(k)],
                terms[static_cast<std::size_t>(k)]);
    });
    if (gradient.normalisation) finish_source(source, gradient);
  }

 private:
  [[nodiscard]] float* scratch(std::int64_t slot) const { return scratch_ + slot * slot_floats_; }

  [[nodiscard]] WindowAxis adjoint(const SeparableBundle& bundle, const SeparableWindow& w, bool rows,
                                   int phase) const {
    return trimmed(window_backward(rows ? geometry_.height : geometry_.width,
                                   rows ? geometry_.out_height : geometry_.out_width, w.kernel, bundle.stride,
                                   w.dilation, w.padding, phase));
  }

  /// Room for the gradient of a depthwise output and all that the adjoint windows reach beside it.
  [[nodiscard]] PlaneShape gradient_planes(const SeparableBundle& bundle) const {
    std::int64_t margin = 0;
    std::array<std::int64_t, 2> end{geometry_.out_height, geometry_.out_width};
    for (const SeparableWindow& w : bundle.windows) {
      for (int phase = 0; phase < bundle.stride; ++phase) {
        for (const bool rows : {true, false}) {
          const WindowAxis axis = adjoint(bundle, w, rows, phase);
          margin = std::max<std::int64_t>(margin, -axis.lowest);
          std::int64_t& axis_end = end[rows ? 0 : 1];
          axis_end = std::max(axis_end, source_end(axis));
        }
      }
    }
    return {geometry_.planes.channels, 1, margin, end[0], end[1]};
  }

  void prepare(const SeparableBundle& bundle, const SeparableWindow& w, Term& term) {
    const PlaneShape& planes = geometry_.planes;
    term.taps = TapGrid(planes, geometry_.rows(bundle, w), geometry_.columns(bundle, w));
    term.weights = carver_.floats(term.filter_floats);
    term.filter_parts = carver_.floats(chunks_.count() * term.filter_floats);
    term.pointwise_parts = carver_.floats(chunks_.count() * term.pointwise_floats);
    for (int i = 0; i < bundle.stride * bundle.stride; ++i) {
      Phase& phase = term.phases[static_cast<std::size_t>(i)];
      const int row = i / bundle.stride;
      const int column = i % bundle.stride;
      const WindowAxis rows = adjoint(bundle, w, true, row);
      const WindowAxis columns = adjoint(bundle, w, false, column);
      phase.taps = TapGrid(gradient_planes_, rows, columns);
      phase.rows = rows.outputs;
      phase.vectors = (columns.outputs * planes.lanes + lanes16 - 1) / lanes16;
      phase.target = planes.row_offset(row) + planes.column_offset(column);
      phase.weights = carver_.floats(packed_tap_floats(planes, std::int64_t{rows.taps} * columns.taps));
    }
  }

  void pack(const SeparableBundle& bundle, const SeparableWindow& w, const float* filter, const Term& term) const {
    const PlaneShape& planes = geometry_.planes;
    pack_taps(planes, geometry_.rows(bundle, w), geometry_.columns(bundle, w), filter, w.kernel, term.weights);
    for (int i = 0; i < bundle.stride * bundle.stride; ++i) {
      pack_taps(planes, adjoint(bundle, w, true, i / bundle.stride), adjoint(bundle, w, false, i % bundle.stride),
                filter, w.kernel, term.phases[static_cast<std::size_t>(i)].weights);
    }
  }

  void clear_parts(std::span<const BundleTermGradient> terms, std::int64_t chunk) const {
    for (std::size_t k = 0; k < count_; ++k) {
      const Term& t = terms_[k];
      if (terms[k].dfilter) std::fill_n(t.filter_parts + chunk * t.filter_floats, t.filter_floats, 0.0F);
      if (terms[k].dpointwise) std::fill_n(t.pointwise_parts + chunk * t.pointwise_floats, t.pointwise_floats, 0.0F);
    }
  }

  void run_term(std::size_t k, std::span<const BundleTermGradient> all, bool want_dx, std::int64_t image,
                std::int64_t chunk, std::int64_t slot) const {
    const Term& term = terms_[k];
    const BundleTermGradient& tensors = all[k];
    const PlaneShape& planes = geometry_.planes;
    const float* z = scratch(slot);
    float* dz = scratch(slot) + planes.floats();
    float* dd = dz + planes.floats();
    const bool want_dd = want_dx || tensors.dfilter;
    for (std::int64_t row = 0; row < geometry_.out_height; row += tile_.rows) {
      const std::int64_t row_end = std::min(row + tile_.rows, geometry_.out_height);
      const bool last = row_end == geometry_.out_height;
      const BundleTermGradient& next = last ? all[k + 1 < count_ ? k + 1 : 0] : tensors;
      const std::int64_t next_row = !last ? row_end : k + 1 < count_ ? 0 : geometry_.out_height;
      float* dy = form(term, tensors, {image, row, row_end}, next, next_row, scratch(slot) + dy_at_);
      if (tensors.dpointwise) {
        float* d = scratch(slot) + d_at_;
        correlate_tile(planes, term.taps, term.weights, z, tile_, row, row_end, d);
        add_pointwise(term, dy, d, row_end - row, term.pointwise_parts + chunk * term.pointwise_floats);
      }
      if (want_dd) spread(term, tensors.pointwise.f32(), dy, row, row_end, dd);
    }
    for (std::int64_t block = 0; block < planes.blocks; ++block) {
      const float* block_dd = dd + block * gradient_planes_.block_floats();
      if (tensors.dfilter) {
        sum_taps({&term.taps, z + block * planes.block_floats(), planes.pitch(),
                  block_dd + gradient_planes_.row_offset(0) + gradient_planes_.column_offset(0),
                  gradient_planes_.pitch(), geometry_.out_height, tile_.vectors,
                  term.filter_parts + chunk * term.filter_floats + block * term.filter_floats / planes.blocks});
      }
      if (want_dx) add_adjoint(term, block, block_dd, k > 0, dz);
    }
  }

  struct ImageRows {
    std::int64_t image;
    std::int64_t row;
    std::int64_t row_end;
  };
  /// dy of some rows; asks for the same number of rows of term `next` from `next_row` on.
  float* form(const Term& term, const BundleTermGradient& tensors, const ImageRows& rows,
              const BundleTermGradient& next, std::int64_t next_row, float* dy) const {
    const std::int64_t image = rows.image * geometry_.out_pixels();
    const std::int64_t first = image + rows.row * geometry_.out_width;
    const std::int64_t next_first = image + next_row * geometry_.out_width;
    const std::int64_t pixels = (rows.row_end - rows.row) * geometry_.out_width;
    const auto tile = [&](const TensorView& t, const TensorView& after) {
      return PixelTile{t.f32() + first * t.pixel_stride,
                       t.pixel_stride,
                       pixels,
                       term.channels,
                       after.f32() + next_first * after.pixel_stride,
                       after.pixel_stride};
    };
    form_gradient(tile(tensors.g, next.g), tile(tensors.y, next.y), tensors.gradient.f32(), dy);
    return dy;
  }

  void add_pointwise(const Term& term, const float* dy, const float* d, std::int64_t rows, float* part) const {
    const PlaneShape& planes = geometry_.planes;
    const bool gapless = tile_.gapless(planes);
    gemm({.m = term.channels,
          .n = planes.channels,
          .k = gapless ? rows * tile_.width : tile_.width,
          .lda = term.channels,
          .ldb = planes.padded_channels(),
          .ldc = planes.channels,
          .trans_a = true,
          .write = Write::accumulate,
          .batch = gapless ? 1 : rows,
          .a_step = tile_.width * term.channels,
          .b_step = tile_.pitch,
          .c_step = 0},
         dy, d, part);
  }

  /// Rows [row, row_end) of dd = dy pointwise.
  void spread(const Term& term, const float* pointwise, const float* dy, std::int64_t row, std::int64_t row_end,
              float* dd) const {
    const PlaneShape& planes = gradient_planes_;
    for (std::int64_t block = 0; block < planes.blocks; ++block) {
      gemm({.m = geometry_.out_width,
            .n = planes.valid_lanes(block),
            .k = term.channels,
            .lda = term.channels,
            .ldb = planes.channels,
            .ldc = planes.lanes,
            .batch = row_end - row,
            .a_step = geometry_.out_width * term.channels,
            .b_step = 0,
            .c_step = planes.pitch()},
           dy, pointwise + block * planes.lanes,
           dd + block * planes.block_floats() + planes.row_offset(row) + planes.column_offset(0));
    }
  }

  void add_adjoint(const Term& term, std::int64_t block, const float* dd, bool add, float* dz) const {
    const PlaneShape& planes = geometry_.planes;
    for (int i = 0; i < planes.stride * planes.stride; ++i) {
      const Phase& phase = term.phases[static_cast<std::size_t>(i)];
      const std::int64_t taps_floats = std::int64_t{phase.taps.rows} * phase.taps.columns * lanes16;
      correlate({&phase.taps, phase.weights + block * taps_floats, dd, gradient_planes_.pitch(), 0, phase.rows,
                 phase.vectors, dz + block * planes.block_floats() + phase.target, planes.pitch(), lanes16, add});
    }
  }

  void store(const BundleSourceGradient& gradient, std::int64_t image, const float* z) const {
    const PlaneShape& planes = geometry_.planes;
    const std::int64_t stride = gradient.dx.pixel_stride;
    store_plane_gradient(
        planes, {z, z + planes.floats(), gradient.dx.f32() + image * geometry_.height * geometry_.width * stride,
                 geometry_.height, geometry_.width, stride, gradient.write == Write::accumulate,
                 gradient.normalisation ? sums_ + image * 2 * planes.padded_channels() : nullptr});
  }

  void add_parts(const SeparableBundle& bundle, const SeparableWindow& w, const Term& term,
                 const BundleTermGradient& tensors) const {
    const Context here = Context::cpu(1);
    if (tensors.dpointwise) {
      add_partials(here, term.pointwise_parts, chunks_.count(), term.pointwise_floats, Write::overwrite,
                   tensors.dpointwise.f32());
    }
    if (!tensors.dfilter) return;
    float* sums = term.filter_parts;  // of all chunks, in place of the first; [blocks, taps, 16]
    add_partials(here, term.filter_parts, chunks_.count(), term.filter_floats, Write::overwrite, sums);
    const PlaneShape& planes = geometry_.planes;
    const WindowAxis rows = geometry_.rows(bundle, w);
    const WindowAxis columns = geometry_.columns(bundle, w);
    std::fill_n(tensors.dfilter.f32(), tensors.dfilter.elements(), 0.0F);  // of taps that hit nothing
    for (std::int64_t block = 0; block < planes.blocks; ++block) {
      for (std::size_t a = 0; a < static_cast<std::size_t>(rows.taps); ++a) {
        for (std::size_t b = 0; b < static_cast<std::size_t>(columns.taps); ++b, sums += lanes16) {
          const std::int64_t tap = rows.tap[a].index * w.kernel + columns.tap[b].index;
          float* to = tensors.dfilter.f32() + tap * planes.channels + block * planes.lanes;
          for (std::int64_t c = 0; c < planes.valid_lanes(block); ++c) {
            for (std::int64_t lane = c; lane < lanes16; lane += planes.lanes)
              to[c] += sums[lane];
          }
        }
      }
    }
  }

  void finish_source(const BundleSource& source, const BundleSourceGradient& gradient) const {
    const std::int64_t channels = geometry_.planes.channels;
    const std::int64_t padded = geometry_.planes.padded_channels();
    const float* rstd = source.normalisation.f32() + rstd_row * channels;
    for (std::int64_t c = 0; c < channels; ++c) {
      double sum = 0.0;
      double product = 0.0;
      for (std::int64_t image = 0; image < geometry_.images; ++image) {
        sum += static_cast<double>(sums_[image * 2 * padded + c]);
        product += static_cast<double>(sums_[(image * 2 + 1) * padded + c]);
      }
      totals_[c] = sum;
      totals_[channels + c] = product / static_cast<double>(rstd[c]);  // the planes hold (x - mean) * rstd
    }
    finish_normalisation_gradient(source.normalisation, source.x.pixels(), 1.0F, totals_, totals_ + channels,
                                  gradient.normalisation);
  }

  const Context& ctx_;
  BundleGeometry geometry_;
  DepthwiseTile tile_;
  std::size_t count_;
  Carver carver_;
  SourceRows rows_;
  PlaneShape gradient_planes_;
  Blocks chunks_;
  InlineVector<Term, max_bundle_terms> terms_;
  float* sums_ = nullptr;     // [images, 2, padded channels]
  double* totals_ = nullptr;  // [2, C]
  // A slot's scratch: z, dz and dd in planes, a tile of dy, a tile of d.
  std::int64_t dy_at_ = 0;
  std::int64_t d_at_ = 0;
  std::int64_t slot_floats_ = 0;
  float* scratch_ = nullptr;
};

}  // namespace

std::size_t separable_bundle_backward_workspace(const Context& ctx, const SeparableBundle& bundle, const Shape& x,
                                                std::span<const std::int64_t> out_channels) {
  return Backward(ctx, bundle, x, out_channels).bytes();
}

void separable_bundle_backward(const Context& ctx, const SeparableBundle& bundle, const BundleSource& source,
                               std::span<const BundleTermGradient> terms, const BundleSourceGradient& gradient,
                               std::span<std::byte> workspace) {
  std::array<std::int64_t, max_bundle_terms> channels{};
  for (std::size_t k = 0; k < terms.size(); ++k)
    channels[k] = terms[k].y.channels();
  Backward pass(ctx, bundle, source.x.shape, std::span(channels).first(terms.size()), workspace);
  check::workspace("separable_bundle_backward", workspace, pass.bytes());
  pass.run(bundle, source, terms, gradient);
}

}  // namespace dnas::kernels::cpu
