#include "core/parallel_for.hpp"
#include "core/simd.hpp"
#include "ops/packed_rows.hpp"
#include "ops/pool_cpu.hpp"
#include "ops/row_tasks.hpp"

#include <cstring>
#include <limits>

// Window positions travel through scratch as floats, beside the values they belong to: they are below 256, so exact.
namespace dnas::kernels::cpu {
namespace {

constexpr int tile_vectors = 4;
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

/// One output row of the forward pass: maxima and their positions. `start` [columns, lanes] holds the first position
/// of each window that lies in the image, the answer where nothing beats minus infinity.
DNAS_ALWAYS_INLINE void max_row(const MaxPool& g, const Strip& s, const TapRows& taps, const float* start,
                                float* best_row, float* position_row) {
  for (int at = 0; at < s.vectors * lanes16; at += tile_vectors * lanes16) {
    V16 best[tile_vectors];
    V16 position[tile_vectors];
    for (int t = 0; t < tile_vectors; ++t) {
      best[t] = V16{} - std::numeric_limits<float>::infinity();
      position[t] = v16(start + at + t * lanes16) + static_cast<float>(taps.first * g.kernel);
    }
    for (int a = 0; a < taps.count; ++a) {
      for (int b = 0; b < g.kernel; ++b) {
        const V16 here = V16{} + static_cast<float>((taps.first + a) * g.kernel + b);
        const float* x = taps.row[a] + at + s.tap_offset[static_cast<std::size_t>(b)];
#pragma GCC unroll 4
        for (int t = 0; t < tile_vectors; ++t) {
          const V16 value = v16(x + t * lanes16);
          // Greater, or the first NaN: not (value <= best) unless best is already NaN.
          const Mask16 wins = ~(value <= best[t]) & (best[t] == best[t]);
          best[t] = wins ? value : best[t];
          position[t] = wins ? here : position[t];
        }
      }
    }
    for (int t = 0; t < tile_vectors; ++t) {
      v16(best_row + at + t * lanes16) = best[t];
      v16(position_row + at + t * lanes16) = position[t];
    }
  }
}

/// Packed positions of the strip's columns to argmax [.., C], `to` being the first pixel's.
DNAS_ALWAYS_INLINE void store_positions(const Strip& s, const float* from, std::uint8_t* to, std::int64_t channels) {
  std::uint8_t bytes[Strip::max_columns * lanes16];
  for (int i = 0; i < s.columns * s.lanes; ++i)
    bytes[i] = static_cast<std::uint8_t>(static_cast<int>(from[i]));
  for (int q = 0; q < s.columns; ++q) {
    const std::uint8_t* pixel = bytes + q * s.lanes;
    if (s.valid == 16) {
      std::memcpy(to + q * channels, pixel, 16);
    } else if (s.valid == 8) {
      std::memcpy(to + q * channels, pixel, 8);
    } else if (s.valid == 4) {
      std::memcpy(to + q * channels, pixel, 4);
    } else {
      for (int c = 0; c < s.valid; ++c)
        to[q * channels + c] = pixel[c];
    }
  }
}

DNAS_MULTIVERSION void max_forward_task(const MaxPool& g, const RowTasks::Range& range) {
  RingMemory memory;
  RowRing ring;
  TapRows taps;
  alignas(64) float start[packed_floats] = {};
  alignas(64) float best[packed_floats];
  alignas(64) float position[packed_floats];
  const std::int64_t channels = g.source.channels();
  for_each_strip(
      g.cols, channels, [&](const Strip& s, bool fresh) __attribute__((always_inline)) {
        if (fresh) {
          ring = make_ring(memory, s, g.rows, -std::numeric_limits<float>::infinity());
          for (int q = 0; q < s.columns; ++q) {
            std::fill_n(start + q * s.lanes, s.lanes, static_cast<float>(g.cols.valid(s.column + q).first));
          }
        }
        for (std::int64_t image = range.image; image < range.image_end; ++image) {
          ring.next = 0;
          for (std::int64_t o = range.row; o < range.row_end; ++o) {
            const std::int64_t end = ring.advance(g.rows, o);
            for (; ring.next < end; ++ring.next) {
              pack_row(s, g.cols, ring.row(ring.next), image_row(g.source, image, ring.next), g.source.pixel_stride);
            }
            find_tap_rows(taps, ring, g.rows, o);
            max_row(g, s, taps, start, best, position);
            store_pixels(s, output_row(s, g.rows, g.cols, g.output, image, o), g.output.pixel_stride, best, false);
            const std::int64_t pixel = (image * g.output.shape[1] + o) * g.output.shape[2] + s.column;
            store_positions(s, position, g.argmax + pixel * channels + s.channel, channels);
          }
        }
      });
}

/// As pack_row, for positions [.., C] as bytes.
DNAS_ALWAYS_INLINE void pack_positions(const Strip& s, const WindowAxis& cols, float* to, const std::uint8_t* from,
                                       std::int64_t channels) {
  const PlaneColumns p = plane_columns(s, cols, 0);  // backward axes have step 1
  const std::uint8_t* source = from + p.first * channels + s.channel;
  float* target = to + p.at * s.lanes;
  for (std::int64_t q = 0; q < p.count; ++q) {
    if (s.valid == 16) {
      for (int c = 0; c < 16; ++c)
        target[q * 16 + c] = static_cast<float>(source[q * channels + c]);
    } else {
      for (int c = 0; c < s.valid; ++c)
        target[q * s.lanes + c] = static_cast<float>(source[q * channels + c]);
    }
  }
}

/// One output row of the backward pass: every input collects dy of the windows that it won.
DNAS_ALWAYS_INLINE void collect_row(const MaxPool& g, const Strip& s, const TapRows& dy, const TapRows& won,
                                    float* collected) {
  for (int at = 0; at < s.vectors * lanes16; at += tile_vectors * lanes16) {
    V16 sum[tile_vectors] = {};
    for (int a = 0; a < dy.count; ++a) {
      const int row_position = g.rows.tap[static_cast<std::size_t>(dy.first + a)].index * g.kernel;
      for (int b = 0; b < g.cols.taps; ++b) {
        const auto tap = static_cast<std::size_t>(b);
        const V16 here = V16{} + static_cast<float>(row_position + g.cols.tap[tap].index);
        const std::int64_t offset = at + s.tap_offset[tap];
#pragma GCC unroll 4
        for (int t = 0; t < tile_vectors; ++t) {
          const Mask16 mine = v16(won.row[a] + offset + t * lanes16) == here;
          sum[t] += mine ? V16(v16(dy.row[a] + offset + t * lanes16)) : V16{};
        }
      }
    }
    for (int t = 0; t < tile_vectors; ++t)
      v16(collected + at + t * lanes16) = sum[t];
  }
}

DNAS_MULTIVERSION void max_backward_task(const MaxPool& g, const RowTasks::Range& range) {
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
          won_ring = make_ring(won_memory, s, g.rows, -1.0F);  // no position: what lies outside was won by nobody
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
            collect_row(g, s, dy, won, collected);
            store_pixels(s, output_row(s, g.rows, g.cols, g.output, image, o), g.output.pixel_stride * g.cols.out_step,
                         collected, g.add);
          }
        }
      });
}

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
