#include "core/parallel_for.hpp"
#include "core/v16.hpp"
#include "ops/packed_rows.hpp"
#include "ops/pool_cpu.hpp"
#include "ops/row_tasks.hpp"

#include <bit>
#include <cstring>
#include <limits>

// The rows of x lie in scratch as integers that are ordered as the floats are, with NaN above all and the padding below
// all. So the maximum with the first position it has takes one comparison per vector, without special cases.
namespace dnas::kernels::cpu {
namespace {

constexpr int packed_floats = Strip::max_columns * lanes16 + Strip::overhang;

struct MaxPool {
  WindowAxis rows;
  WindowAxis cols;
  TensorView source;  // forward: x; backward: dy
  TensorView output;  // forward: y; backward: dx
  std::uint8_t* argmax;
  int kernel;
  bool add;
};

constexpr int padding_key = std::numeric_limits<int>::min();
constexpr int nan_key = std::numeric_limits<int>::max();  // its bits are a NaN
constexpr int no_position = -1;

/// Negative floats order backwards as integers: flip their magnitude. The inverse of itself.
DNAS_ALWAYS_INLINE int flip_negative(int bits) {
  return bits ^ ((bits >> 31) & std::numeric_limits<int>::max());
}

DNAS_ALWAYS_INLINE void to_keys(float* row, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float value = row[i] + 0.0F;  // makes -0 the +0 it is equal to
    const int key = flip_negative(std::bit_cast<int>(value));
    row[i] = std::bit_cast<float>(value == value ? key : nan_key);
  }
}

DNAS_ALWAYS_INLINE void pack_keys(const Strip& s, const WindowAxis& cols, float* to, const float* from,
                                  std::int64_t pixel_stride) {
  pack_row(s, cols, to, from, pixel_stride);
  for (std::int64_t plane = 0; plane < cols.step; ++plane) {
    const PlaneColumns p = plane_columns(s, cols, plane);
    to_keys(to + p.at * s.lanes, p.count * s.lanes);
  }
}

/// The largest keys so far and their positions.
template <int N>
struct Winners {
  using Ints = typename detail::Registers<N>::Ints;
  static constexpr int parts = lanes16 / N;

  Ints best[parts];
  Ints position[parts];

  DNAS_ALWAYS_INLINE void clear() {
    for (int i = 0; i < parts; ++i) {
      best[i] = Ints{} + padding_key;
      position[i] = Ints{};
    }
  }
  DNAS_ALWAYS_INLINE void compare(const float* keys, int here) {
    Ints key;
    for (int i = 0; i < parts; ++i) {
      detail::load(key, keys + i * N);
      position[i] = key > best[i] ? Ints{} + here : position[i];
      best[i] = key > best[i] ? key : best[i];
    }
  }
  DNAS_ALWAYS_INLINE void store(float* values, float* positions) const {
    for (int i = 0; i < parts; ++i) {
      const Ints bits = best[i] ^ ((best[i] >> 31) & std::numeric_limits<int>::max());  // flip_negative
      detail::store(values + i * N, bits);
      detail::store(positions + i * N, position[i]);
    }
  }
};

/// One output row of the forward pass: maxima, and their positions as integers.
template <int N>
DNAS_ALWAYS_INLINE void max_row(const MaxPool& g, const Strip& s, const TapRows& taps, float* best, float* position) {
  constexpr int tile = V16<N>::tile / 2;  // two registers each
  for (int at = 0; at < s.vectors * lanes16; at += tile * lanes16) {
    Winners<N> winners[tile];
    for (int t = 0; t < tile; ++t)
      winners[t].clear();
    for (int a = 0; a < taps.count; ++a) {
      for (int b = 0; b < g.kernel; ++b) {
        const float* x = taps.row[a] + at + s.tap_offset[static_cast<std::size_t>(b)];
#pragma GCC unroll 4
        for (int t = 0; t < tile; ++t)
          winners[t].compare(x + t * lanes16, (taps.first + a) * g.kernel + b);
      }
    }
    for (int t = 0; t < tile; ++t)
      winners[t].store(best + at + t * lanes16, position + at + t * lanes16);
  }
}

/// Copies `count` pixels of `s.valid` bytes.
DNAS_ALWAYS_INLINE void copy_bytes(const Strip& s, std::uint8_t* to, std::int64_t to_stride, const std::uint8_t* from,
                                   std::int64_t from_stride, std::int64_t count) {
  for (std::int64_t q = 0; q < count; ++q, to += to_stride, from += from_stride) {
    if (s.valid == 16) {
      std::memcpy(to, from, 16);
    } else if (s.valid == 8) {
      std::memcpy(to, from, 8);
    } else if (s.valid == 4) {
      std::memcpy(to, from, 4);
    } else {
      for (int c = 0; c < s.valid; ++c)
        to[c] = from[c];
    }
  }
}

/// Packed positions of the strip's columns to argmax [.., C], `to` being the first pixel's.
DNAS_ALWAYS_INLINE void store_positions(const Strip& s, const float* from, std::uint8_t* to, std::int64_t channels) {
  std::uint8_t bytes[Strip::max_columns * lanes16];
  for (int i = 0; i < s.columns * s.lanes; ++i)
    bytes[i] = static_cast<std::uint8_t>(std::bit_cast<int>(from[i]));
  copy_bytes(s, to, channels, bytes, s.lanes, s.columns);
}

template <int N>
DNAS_ALWAYS_INLINE void max_forward(const MaxPool& g, const RowTasks::Range& range) {
  RingMemory memory;
  RowRing ring;
  TapRows taps;
  alignas(64) float best[packed_floats];
  alignas(64) float position[packed_floats];
  const std::int64_t channels = g.source.channels();
  for_each_strip(
      g.cols, channels, [&](const Strip& s, bool fresh) __attribute__((always_inline)) {
        if (fresh) ring = make_ring(memory, s, g.rows, std::bit_cast<float>(padding_key));
        for (std::int64_t image = range.image; image < range.image_end; ++image) {
          ring.next = 0;
          for (std::int64_t o = range.row; o < range.row_end; ++o) {
            const std::int64_t end = ring.advance(g.rows, o);
            for (; ring.next < end; ++ring.next) {
              pack_keys(s, g.cols, ring.row(ring.next), image_row(g.source, image, ring.next), g.source.pixel_stride);
            }
            find_tap_rows(taps, ring, g.rows, o);
            max_row<N>(g, s, taps, best, position);
            store_pixels(s, output_row(s, g.rows, g.cols, g.output, image, o), g.output.pixel_stride, best, false);
            const std::int64_t pixel = (image * g.output.shape[1] + o) * g.output.shape[2] + s.column;
            store_positions(s, position, g.argmax + pixel * channels + s.channel, channels);
          }
        }
      });
}

/// As pack_row, for positions [.., C], which become integers.
DNAS_ALWAYS_INLINE void pack_positions(const Strip& s, const WindowAxis& cols, float* to, const std::uint8_t* from,
                                       std::int64_t channels) {
  std::uint8_t bytes[Strip::row_capacity];
  if (s.valid < s.lanes) std::fill_n(bytes, s.plane * s.lanes, std::uint8_t{0});
  const PlaneColumns p = plane_columns(s, cols, 0);  // backward axes have step 1
  copy_bytes(s, bytes, s.lanes, from + p.first * channels + s.channel, channels, p.count);
  float* target = to + p.at * s.lanes;
  for (std::int64_t i = 0; i < p.count * s.lanes; ++i)
    target[i] = std::bit_cast<float>(static_cast<int>(bytes[i]));
}

/// sum += dy where the winner's position is `here`.
template <int N>
DNAS_ALWAYS_INLINE void collect(V16<N>& sum, const float* dy, const float* won, int here) {
  typename V16<N>::Register gradient;
  typename detail::Registers<N>::Ints position;
  for (int i = 0; i < V16<N>::parts; ++i) {
    detail::load(gradient, dy + i * N);
    detail::load(position, won + i * N);
    sum.part[i] += position == here ? gradient : typename V16<N>::Register{};
  }
}

/// One output row of the backward pass: every input collects dy of the windows that it won.
template <int N>
DNAS_ALWAYS_INLINE void collect_row(const MaxPool& g, const Strip& s, const TapRows& dy, const TapRows& won,
                                    float* collected) {
  constexpr int tile = std::min(4, V16<N>::tile);
  for (int at = 0; at < s.vectors * lanes16; at += tile * lanes16) {
    V16<N> sum[tile];
    for (int t = 0; t < tile; ++t)
      sum[t].clear();
    for (int a = 0; a < dy.count; ++a) {
      const int row_position =
          g.rows.tap[static_cast<std::size_t>(dy.first) + static_cast<std::size_t>(a)].index * g.kernel;
      for (int b = 0; b < g.cols.taps; ++b) {
        const auto tap = static_cast<std::size_t>(b);
        const int here = row_position + g.cols.tap[tap].index;
        const std::int64_t offset = at + s.tap_offset[tap];
#pragma GCC unroll 4
        for (int t = 0; t < tile; ++t) {
          collect(sum[t], dy.row[a] + offset + t * lanes16, won.row[a] + offset + t * lanes16, here);
        }
      }
    }
    for (int t = 0; t < tile; ++t)
      sum[t].store(collected + at + t * lanes16);
  }
}

template <int N>
DNAS_ALWAYS_INLINE void max_backward(const MaxPool& g, const RowTasks::Range& range) {
  RingMemory dy_memory;
  RingMemory won_memory;
  RowRing dy_ring;
  RowRing won_ring;
  TapRows dy;
  TapRows won;
  alignas(64) float collected[packed_floats];
  const std::int64_t channels = g.source.channels();
  for_each_strip(
      g.cols, channels, [&](const Strip& s, bool fresh) __attribute__((always_inline)) {
        if (fresh) {
          dy_ring = make_ring(dy_memory, s, g.rows, 0.0F);
          won_ring = make_ring(won_memory, s, g.rows, std::bit_cast<float>(no_position));
        }
        for (std::int64_t image = range.image; image < range.image_end; ++image) {
          dy_ring.next = 0;
          for (std::int64_t o = range.row; o < range.row_end; ++o) {
            const std::int64_t end = dy_ring.advance(g.rows, o);
            for (; dy_ring.next < end; ++dy_ring.next) {
              const std::int64_t r = dy_ring.next;
              pack_row(s, g.cols, dy_ring.row(r), image_row(g.source, image, r), g.source.pixel_stride);
              const std::int64_t pixel = (image * g.source.shape[1] + r) * g.source.shape[2];
              pack_positions(s, g.cols, won_ring.row(r), g.argmax + pixel * channels, channels);
            }
            find_tap_rows(dy, dy_ring, g.rows, o);
            find_tap_rows(won, won_ring, g.rows, o);
            collect_row<N>(g, s, dy, won, collected);
            store_pixels(s, output_row(s, g.rows, g.cols, g.output, image, o), g.output.pixel_stride * g.cols.out_step,
                         collected, g.add);
          }
        }
      });
}

DNAS_ISA_VERSIONS(max_forward_task, max_forward, (const MaxPool& g, const RowTasks::Range& range), (g, range))
DNAS_ISA_VERSIONS(max_backward_task, max_backward, (const MaxPool& g, const RowTasks::Range& range), (g, range))

}  // namespace

void max_pool_forward(const Context& ctx, const Pool& pool, const TensorView& x, const TensorView& y,
                      const TensorView& argmax) {
  const MaxPool g{window_forward(x.shape[1], y.shape[1], pool.kernel, pool.stride, 1, pool.padding),
                  window_forward(x.shape[2], y.shape[2], pool.kernel, pool.stride, 1, pool.padding),
                  x,
                  y,
                  argmax.u8(),
                  pool.kernel,
                  false};
  const RowTasks tasks = RowTasks::of(y.shape[0], y.shape[1], y.shape[2]);
  parallel_for(ctx, tasks.count(), [&](std::int64_t task) { max_forward_task(g, tasks.range(task)); });
}

void max_pool_backward(const Context& ctx, const Pool& pool, const TensorView& dy, const TensorView& argmax,
                       const TensorView& dx, Write write) {
  const PhaseTasks tasks(dx.shape, pool.stride);
  parallel_for(ctx, tasks.count(), [&](std::int64_t task) {
    const PhaseTasks::Task t = tasks.task(task);
    const MaxPool g{window_backward(dx.shape[1], dy.shape[1], pool.kernel, pool.stride, 1, pool.padding, t.row_phase),
                    window_backward(dx.shape[2], dy.shape[2], pool.kernel, pool.stride, 1, pool.padding, t.col_phase),
                    dy,
                    dx,
                    argmax.u8(),
                    pool.kernel,
                    write == Write::accumulate};
    max_backward_task(g, t.range);
  });
}

}  // namespace dnas::kernels::cpu
