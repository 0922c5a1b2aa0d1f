#pragma once

#include "core/add_blocks.cuh"
#include "core/shared_memory.cuh"
#include "ops/bundle_backward_arguments.cuh"
#include "ops/bundle_pool_backward.cuh"
#include "ops/state_bundle_backward_launch.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

// How a launch of state_bundle_backward is cut, on the host: pure functions of its arguments.
namespace dnas::kernels::cuda::bundle_backward {

// Blocks of a launch, two for each multiprocessor of an H100, where each leaves partial gradients of all weights; more
// where it leaves none, or two sums per channel.
inline constexpr std::int64_t max_weight_blocks = 264;
inline constexpr std::int64_t max_data_blocks = 2112;

inline int order_of(CandidateKind kind) {
  switch (kind) {
    case CandidateKind::separable:
      return 0;
    case CandidateKind::factorised_reduce:
      return 1;
    case CandidateKind::max_pool:
      return 2;
    case CandidateKind::avg_pool:
      return 3;
    case CandidateKind::identity:
      return 4;
  }
  return 4;
}

inline bool is_pool(CandidateKind kind) {
  return kind == CandidateKind::max_pool || kind == CandidateKind::avg_pool;
}

inline bool has_weights(CandidateKind kind) {
  return kind == CandidateKind::separable || kind == CandidateKind::factorised_reduce;
}

/// A state's candidates in the order in which the kernel takes them.
inline std::vector<const CandidateGradient*> sorted(const StateGradient& state) {
  std::vector<const CandidateGradient*> candidates;
  for (const CandidateGradient& c : state.candidates)
    candidates.push_back(&c);
  std::ranges::stable_sort(candidates, {}, [](const CandidateGradient* c) {
    const bool pool = is_pool(c->candidate.kind);
    return std::array{order_of(c->candidate.kind), pool ? c->candidate.window.kernel : 0,
                      pool ? c->candidate.window.padding : 0};
  });
  return candidates;
}

struct TileShape {
  int channels, height, width;
};

inline TileShape tile_for(std::int64_t channels) {
  if (channels <= 16) return {16, Tile<16>::height, Tile<16>::width};
  if (channels <= 32) return {32, Tile<32>::height, Tile<32>::width};
  return {64, Tile<64>::height, Tile<64>::width};
}

inline int ceil_div(std::int64_t a, std::int64_t b) {
  return static_cast<int>((a + b - 1) / b);
}

struct Plan {
  Geometry geometry{};
  StateBundleBackwardLaunch launch;
  bool weights = false;
};

/// Every tensor's partial sums begin at a multiple of four: they are added up four at a time.
inline int padded(std::int64_t elements) {
  return static_cast<int>((elements + 3) / 4 * 4);
}

/// Partial sums that a block keeps of a state.
inline int entries_of(const StateGradient& state) {
  int entries = state.normalisation ? padded(2 * state.source.x.channels()) : 0;
  for (const CandidateGradient& c : state.candidates) {
    if (c.dfilter) entries += padded(c.candidate.filter.elements());
    if (c.dpointwise) entries += padded(c.candidate.pointwise.elements());
  }
  return entries;
}

inline void plan_arrays(Plan& plan, int stride, std::span<const StateGradient> states, const TileShape& tile,
                        Product product) {
  Geometry& geometry = plan.geometry;
  const int pitch = product == Product::bf16 ? operand_pitch<Product::bf16>(tile.channels)
                                             : operand_pitch<Product::tf32>(tile.channels);
  const int operand_bytes = product == Product::bf16 ? 2 : 4;
  const int tile_pixels = tile.height * tile.width;
  int after_low = 0;  // how far the regions reach behind the first pixel ...
  int pool_low = 0;
  int pool_high_rows = 0;
  int pool_high_columns = 0;
  int seen_high = 0;
  int pool_outputs = 0;
  int taps = 0;
  int terms = 1;
  bool separable = false;
  bool factorised = false;
  for (const StateGradient& state : states) {
    int equal = 0;
    const CandidateGradient* last = nullptr;
    for (const CandidateGradient* c : sorted(state)) {
      const SeparableWindow& window = c->candidate.window;
      switch (c->candidate.kind) {
        case CandidateKind::separable: {
          const int reach = (window.kernel - 1) * window.dilation;
          geometry.before = std::max(geometry.before, (reach - window.padding) / stride);
          after_low = std::max(after_low, window.padding);
          geometry.seen_before = std::max(geometry.seen_before, window.padding);
          seen_high = std::max(seen_high, reach - window.padding);
          taps = std::max(taps, window.kernel * window.kernel);
          separable = true;
          break;
        }
        case CandidateKind::factorised_reduce:
          seen_high = std::max(seen_high, 1);
          factorised = true;
          break;
        case CandidateKind::max_pool:
        case CandidateKind::avg_pool: {
          const int before = (window.kernel - 1 - window.padding) / stride;
          const int rows = (tile.height - 1 + window.padding) / stride;
          const int columns = (tile.width - 1 + window.padding) / stride;
          pool_low = std::max(pool_low, before * stride + window.padding);
          pool_high_rows = std::max(pool_high_rows, rows * stride - window.padding + window.kernel);
          pool_high_columns = std::max(pool_high_columns, columns * stride - window.padding + window.kernel);
          pool_outputs = std::max(pool_outputs, (before + rows + 1) * (before + columns + 1));
          break;
        }
        case CandidateKind::identity:
          break;
      }
      const bool shares = last != nullptr && last->candidate.kind == c->candidate.kind &&
                          (!is_pool(c->candidate.kind) || (last->candidate.window.kernel == window.kernel &&
                                                           last->candidate.window.padding == window.padding));
      equal = shares && !has_weights(c->candidate.kind) ? equal + 1 : 1;
      terms = std::max(terms, equal);
      last = c;
    }
  }
  geometry.rows = geometry.before + (tile.height - 1 + after_low) / stride + 1;
  geometry.columns = geometry.before + (tile.width - 1 + after_low) / stride + 1;
  geometry.pool_before = pool_low;
  geometry.pool_rows = pool_low + pool_high_rows;
  geometry.pool_columns = pool_low + pool_high_columns;
  geometry.seen_rows = geometry.seen_before + (tile.height / stride - 1) * stride + seen_high + 1;
  geometry.seen_columns = geometry.seen_before + (tile.width / stride - 1) * stride + seen_high + 1;

  const int strips = tile_elements * 4;
  const int pixel = pitch * operand_bytes;  // a multiple of 16
  geometry.z_at = strips;
  geometry.products_at = strips + (plan.weights && separable ? strips : 0);
  const int products = std::max(separable ? geometry.rows * geometry.columns : 0, factorised ? tile_pixels / 2 : 0);
  geometry.arena = geometry.products_at + products * pixel;
  geometry.pool_at = strips;
  geometry.pool_gradients_at = geometry.pool_at + geometry.pool_rows * geometry.pool_columns * pixel;
  geometry.winners_at = geometry.pool_gradients_at + pool_outputs * (tile.channels + 4) * 4;
  if (pool_outputs > 0) geometry.arena = std::max(geometry.arena, geometry.winners_at + pool_outputs * tile.channels);
  geometry.outputs_at = geometry.seen_rows * geometry.seen_columns * pixel;
  if (plan.weights)
    geometry.arena = std::max(geometry.arena, geometry.outputs_at + 2 * tile_pixels / (stride * stride) * pixel);
  geometry.gradient_rows = terms * 4 * tile.channels;
  geometry.filter = taps * tile.channels;
  geometry.sums = tile_warps * tile.channels * std::max(2, plan.weights ? std::min(taps, max_tap_batch) : 0);
  if (plan.weights && tile.channels == 16) geometry.sums = std::max(geometry.sums, tile_warps * 256);

  const auto floats = [](int count) { return shared_bytes<float>(static_cast<std::size_t>(count)); };
  plan.launch.shared = floats(geometry.arena / 4) + floats(tile.channels * (tile.channels + 2)) +
                       floats(geometry.gradient_rows) + floats(geometry.filter) + floats(geometry.sums);
}

inline Plan plan_for(int stride, std::span<const StateGradient> states, Product product, std::size_t available) {
  Plan plan;
  Geometry& geometry = plan.geometry;
  const Shape& x = states[0].source.x.shape;
  std::int64_t widest = x[3];
  Shape out;
  std::int64_t entries = 0;
  for (const StateGradient& state : states) {
    for (const CandidateGradient& c : state.candidates) {
      widest = std::max(widest, c.g.channels());
      out = c.g.shape;
      plan.weights = plan.weights || c.dfilter || c.dpointwise;
    }
    entries += entries_of(state);
  }
  const TileShape tile = tile_for(widest);
  geometry.height = static_cast<int>(x[1]);
  geometry.width = static_cast<int>(x[2]);
  geometry.channels = static_cast<int>(x[3]);
  geometry.out_height = static_cast<int>(out[1]);
  geometry.out_width = static_cast<int>(out[2]);
  geometry.pixels = x[0] * x[1] * x[2];
  geometry.stride = stride;
  geometry.tiles_down = ceil_div(x[1], tile.height);
  geometry.tiles_across = ceil_div(x[2], tile.width);
  geometry.tiles = static_cast<int>(x[0]) * geometry.tiles_down * geometry.tiles_across;
  geometry.out_tiles_down = ceil_div(out[1], tile.height / stride);
  geometry.out_tiles_across = ceil_div(out[2], tile.width / stride);
  geometry.out_tiles = static_cast<int>(x[0]) * geometry.out_tiles_down * geometry.out_tiles_across;

  // All blocks of a state take equally many tiles, but for the last.
  const auto count = static_cast<std::int64_t>(states.size());
  geometry.tiles_per_block = ceil_div(geometry.tiles * count, plan.weights ? max_weight_blocks : max_data_blocks);
  const int blocks = ceil_div(geometry.tiles, geometry.tiles_per_block);
  plan_arrays(plan, stride, states, tile, product);
  plan.launch.channels = tile.channels;
  plan.launch.blocks = static_cast<unsigned>(blocks);
  plan.launch.counters = states.size() * static_cast<std::size_t>(add_counters(blocks));
  plan.launch.workspace =
      counter_bytes(plan.launch.counters) + static_cast<std::size_t>(entries * blocks) * sizeof(float);
  plan.launch.fits = widest <= max_tile_channels && plan.launch.shared <= available;
  return plan;
}

inline TensorArgument argument_of(const TensorView& t) {
  if (!t) return {};
  const auto bytes = static_cast<std::int64_t>(size_of(t.dtype));
  const bool vectorised = aligned16(t.data) && t.pixel_stride * bytes % 16 == 0 && t.channels() * bytes % 16 == 0;
  return {t.data, t.pixel_stride, static_cast<int>(t.channels()), vectorised};
}

inline Launch arguments_of(std::span<const StateGradient> states, const Plan& plan, std::span<std::byte> workspace) {
  Launch launch{};
  launch.geometry = plan.geometry;
  launch.counters = reinterpret_cast<unsigned*>(workspace.data());
  launch.partials = reinterpret_cast<float*>(workspace.data() + counter_bytes(plan.launch.counters));
  std::int64_t partials = 0;
  int candidate = 0;
  for (std::size_t i = 0; i < states.size(); ++i) {
    const StateGradient& from = states[i];
    StateArgument& state = launch.states[i];
    state.x = argument_of(from.source.x);
    state.dx = argument_of(from.dx);
    state.normalisation = from.source.normalisation.f32();
    state.gradient = from.normalisation.f32();
    state.accumulate = from.write == Write::accumulate;
    state.first = static_cast<std::int16_t>(candidate);
    int ends[5] = {candidate, candidate, candidate, candidate, candidate};  // by order_of
    int entries = 0;
    const auto reserve = [&](const TensorView& wanted) {
      const int at = entries;
      if (wanted) entries += padded(wanted.elements());
      return at;
    };
    for (const CandidateGradient* c : sorted(from)) {
      const SeparableWindow& window = c->candidate.window;
      CandidateArgument& to = launch.candidates[candidate++];
      to = {argument_of(c->y),
            argument_of(c->g),
            c->gradient.f32(),
            c->candidate.filter.f32(),
            c->candidate.pointwise.f32(),
            c->dfilter.f32(),
            c->dpointwise.f32(),
            window.kernel,
            window.dilation,
            window.padding,
            reserve(c->dfilter),
            reserve(c->dpointwise),
            c->candidate.kind};
      for (int order = order_of(c->candidate.kind); order < 5; ++order)
        ends[order] = candidate;
    }
    state.separable_end = static_cast<std::int16_t>(ends[0]);
    state.factorised_end = static_cast<std::int16_t>(ends[1]);
    state.pool_end = static_cast<std::int16_t>(ends[3]);
    state.end = static_cast<std::int16_t>(ends[4]);
    state.sums = entries;
    if (from.normalisation) entries += padded(2 * plan.geometry.channels);
    state.entries = entries;
    state.partials = partials;
    partials += std::int64_t{entries} * plan.launch.blocks;
  }
  return launch;
}

}  // namespace dnas::kernels::cuda::bundle_backward
