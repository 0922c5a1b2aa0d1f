#include "ops/image_planes.hpp"

#include <algorithm>
#include <array>

namespace dnas::kernels {
namespace {

/// Mean and rstd of a block, repeated over the pixels of a vector.
template <int N>
struct BlockNormalisation {
  V16<N> mean;
  V16<N> rstd;

  DNAS_ALWAYS_INLINE void load(const PlaneShape& s, const PlaneSource& source, std::int64_t block) {
    alignas(64) float lanes[2][lanes16];
    for (std::int64_t i = 0; i < lanes16; ++i) {
      lanes[0][i] = source.mean[block * s.lanes + i % s.lanes];
      lanes[1][i] = source.rstd[block * s.lanes + i % s.lanes];
    }
    mean.load(lanes[0]);
    rstd.load(lanes[1]);
  }
  DNAS_ALWAYS_INLINE void apply(V16<N>& x) const {
    x.subtract(mean);
    x.multiply(rstd);
  }
};

template <int N, bool Normalised>
DNAS_ALWAYS_INLINE void load_vector(const BlockNormalisation<N>& n, const float* from, float* to) {
  V16<N> x;
  x.load(from);
  if (Normalised) n.apply(x);
  x.relu();
  x.store(to);
}

/// One pixel whose lanes are not all channels, or fewer than a vector.
template <bool Normalised>
DNAS_ALWAYS_INLINE void load_lanes(const PlaneSource& source, std::int64_t first, std::int64_t valid, const float* from,
                                   float* to) {
  for (std::int64_t c = 0; c < valid; ++c) {
    float x = from[c];
    if (Normalised) x = (x - source.mean[first + c]) * source.rstd[first + c];
    to[c] = x < 0.0F ? 0.0F : x;
  }
}

template <int N, bool Normalised>
DNAS_ALWAYS_INLINE void load_block(const PlaneShape& s, const PlaneSource& source, std::int64_t block, float* planes) {
  BlockNormalisation<N> n;
  if (Normalised) n.load(s, source, block);
  const std::int64_t valid = s.valid_lanes(block);
  const bool flat = s.stride == 1 && source.pixel_stride == s.lanes && valid == s.lanes;
  for (std::int64_t row = 0; row < source.height; ++row) {
    const float* from = source.x + row * source.width * source.pixel_stride + block * s.lanes;
    float* to = planes + block * s.block_floats() + s.row_offset(row);
    if (flat) {
      const std::int64_t floats = source.width * s.lanes;
      float* first = to + s.column_offset(0);
      std::int64_t i = 0;
      for (; i + lanes16 <= floats; i += lanes16)
        load_vector<N, Normalised>(n, from + i, first + i);
      for (; i < floats; i += s.lanes)
        load_lanes<Normalised>(source, block * s.lanes, valid, from + i, first + i);
      continue;
    }
    for (std::int64_t phase = 0; phase < s.stride; ++phase) {
      float* pixel = to + s.column_offset(phase);
      const float* x = from + phase * source.pixel_stride;
      const std::int64_t step = s.stride * source.pixel_stride;
      for (std::int64_t j = phase; j < source.width; j += s.stride, pixel += s.lanes, x += step) {
        if (valid == lanes16) {
          load_vector<N, Normalised>(n, x, pixel);
        } else {
          load_lanes<Normalised>(source, block * s.lanes, valid, x, pixel);
        }
      }
    }
  }
}

template <int N>
DNAS_ALWAYS_INLINE void load_planes_body(const PlaneShape& s, const PlaneSource& source, float* planes) {
  for (std::int64_t block = 0; block < s.blocks; ++block) {
    if (source.mean != nullptr) {
      load_block<N, true>(s, source, block, planes);
    } else {
      load_block<N, false>(s, source, block, planes);
    }
  }
}

/// Sums are kept in registers over the image.
template <int N, bool Sums>
DNAS_ALWAYS_INLINE void store_vector(const float* z, const float* gradient, bool add, float* dx, V16<N>& sum,
                                     V16<N>& product) {
  V16<N> positive;
  V16<N> g;
  positive.load(z);
  g.load(gradient);
  g.keep_where_positive(positive);
  if (Sums) {
    for (int i = 0; i < V16<N>::parts; ++i)
      sum.part[i] += g.part[i];
    product.multiply_add(g, positive);
  }
  if (add) g.add(dx);
  g.store(dx);
}

template <bool Sums>
DNAS_ALWAYS_INLINE void store_lanes(std::int64_t valid, const float* z, const float* gradient, bool add, float* dx,
                                    float* sum, float* product) {
  for (std::int64_t c = 0; c < valid; ++c) {
    const float g = z[c] > 0.0F ? gradient[c] : 0.0F;
    if (Sums) {
      sum[c] += g;
      product[c] += g * z[c];
    }
    dx[c] = add ? dx[c] + g : g;
  }
}

template <int N, bool Sums>
DNAS_ALWAYS_INLINE void store_block(const PlaneShape& s, const PlaneGradient& g, std::int64_t block) {
  const std::int64_t valid = s.valid_lanes(block);
  const bool flat = s.stride == 1 && g.pixel_stride == s.lanes && valid == s.lanes;
  V16<N> sum;
  V16<N> product;
  sum.clear();
  product.clear();
  alignas(64) std::array<float, lanes16> lane_sum{};
  alignas(64) std::array<float, lanes16> lane_product{};
  for (std::int64_t row = 0; row < g.height; ++row) {
    float* to = g.dx + row * g.width * g.pixel_stride + block * s.lanes;
    const std::int64_t at = block * s.block_floats() + s.row_offset(row);
    if (flat) {
      const std::int64_t first = at + s.column_offset(0);
      const std::int64_t floats = g.width * s.lanes;
      std::int64_t i = 0;
      for (; i + lanes16 <= floats; i += lanes16) {
        store_vector<N, Sums>(g.planes + first + i, g.gradient + first + i, g.add, to + i, sum, product);
      }
      for (; i < floats; i += s.lanes) {
        store_lanes<Sums>(valid, g.planes + first + i, g.gradient + first + i, g.add, to + i, lane_sum.data(),
                          lane_product.data());
      }
      continue;
    }
    for (std::int64_t phase = 0; phase < s.stride; ++phase) {
      std::int64_t pixel = at + s.column_offset(phase);
      float* dx = to + phase * g.pixel_stride;
      const std::int64_t step = s.stride * g.pixel_stride;
      for (std::int64_t j = phase; j < g.width; j += s.stride, pixel += s.lanes, dx += step) {
        if (valid == lanes16) {
          store_vector<N, Sums>(g.planes + pixel, g.gradient + pixel, g.add, dx, sum, product);
        } else {
          store_lanes<Sums>(valid, g.planes + pixel, g.gradient + pixel, g.add, dx, lane_sum.data(),
                            lane_product.data());
        }
      }
    }
  }
  if (!Sums) return;
  alignas(64) std::array<float, lanes16> vector_sum;
  alignas(64) std::array<float, lanes16> vector_product;
  sum.store(vector_sum.data());
  product.store(vector_product.data());
  for (std::size_t i = 0; i < lanes16; ++i) {
    const std::size_t c = i % static_cast<std::size_t>(s.lanes);
    lane_sum[c] += vector_sum[i];
    lane_product[c] += vector_product[i];
  }
  std::copy_n(lane_sum.data(), s.lanes, g.sums + block * s.lanes);
  std::copy_n(lane_product.data(), s.lanes, g.sums + s.padded_channels() + block * s.lanes);
}

template <int N>
DNAS_ALWAYS_INLINE void store_plane_gradient_body(const PlaneShape& s, const PlaneGradient& g) {
  for (std::int64_t block = 0; block < s.blocks; ++block) {
    if (g.sums != nullptr) {
      store_block<N, true>(s, g, block);
    } else {
      store_block<N, false>(s, g, block);
    }
  }
}

}  // namespace

DNAS_ISA_VERSIONS(load_planes, load_planes_body, (const PlaneShape& shape, const PlaneSource& source, float* planes),
                  (shape, source, planes))

DNAS_ISA_VERSIONS(store_plane_gradient, store_plane_gradient_body,
                  (const PlaneShape& shape, const PlaneGradient& gradient), (shape, gradient))

}  // namespace dnas::kernels
