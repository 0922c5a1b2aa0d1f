#include "core/add_blocks.cuh"
#include "core/launch.cuh"
#include "core/moments.cuh"
#include "core/shared_memory.cuh"
#include "core/vec.cuh"
#include "ops/bundle_term.cuh"
#include "ops/state_bundle_cuda.hpp"

#include <vector>

namespace dnas::kernels::cuda {
namespace {

constexpr int max_candidates = static_cast<int>(max_launch_candidates);

// --- what the kernel is given ---------------------------------------------------------------------------------------

struct ForwardOutput {
  TileTensor y;          // null: not stored
  float* normalisation;  // [2, channels]; null: no statistics
  int channels;
  Running running;
};

/// Candidates of one state that a block computes on its tile.
struct ForwardGroup {
  int first, end;
};

struct ForwardParameters {
  TileSource sources[max_candidates];  // of each group one, with the margin of its candidates
  TileCandidate candidates[max_candidates];
  ForwardOutput outputs[max_candidates];
  ForwardGroup groups[max_candidates];
  TileGrid grid;
  int region_pixels, taps;  // most of all groups
  BatchNorm bn;
  unsigned* counters;  // [groups, grid.counters()]
  Moments* moments;    // [candidates, tiles, Channels]
};

// --- device helpers -------------------------------------------------------------------------------------------------

/// Pixels of a tile that lie inside, among those that a warp holds of each of its channels.
template <int Channels>
__device__ __forceinline__ int pixels_of_warp(int warp, const TilePosition<Channels>& position) {
  using Fragments = TileFragments<Channels>;
  int pixels = 0;
#pragma unroll
  for (int i = 0; i < Fragments::count; i += Fragments::together) {
    const int row = (warp * Fragments::count + i) / Fragments::across * 16 / Tile<Channels>::width;
#pragma unroll
    for (int r = 0; r < 16 / Tile<Channels>::width; ++r)
      pixels += row + r < position.rows ? position.columns : 0;
  }
  return pixels;
}

/// Sum over the lanes that hold the same channels.
__device__ __forceinline__ float add_lanes(float sum) {
  for (int offset = 4; offset < 32; offset *= 2)
    sum += __shfl_xor_sync(0xFFFFFFFFU, sum, offset);
  return sum;
}

/// Moments of the pixels that each warp holds, to `moments` [tile_warps, Channels] in shared memory. In two passes over
/// the registers, so that a mean far from 0 costs no digits of the variance.
template <int Channels>
__device__ __forceinline__ void moments_of_warps(const TileFragments<Channels>& y,
                                                 const TilePosition<Channels>& position, Moments* moments) {
  using Fragments = TileFragments<Channels>;
  const int thread = this_thread();
  const int pixels = pixels_of_warp(thread / 32, position);
  const float inverse = pixels > 0 ? 1.0F / static_cast<float>(pixels) : 0.0F;
#pragma unroll
  for (int j = 0; j < Fragments::together; ++j) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum = 0.0F;
#pragma unroll
      for (int i = j; i < Fragments::count; i += Fragments::together)
        sum += y.value[i][half] + y.value[i][half + 2];
      const float mean = add_lanes(sum) * inverse;
      float squares = 0.0F;
#pragma unroll
      for (int i = j; i < Fragments::count; i += Fragments::together) {
        for (int h = 0; h < 2; ++h) {
          const float above = y.value[i][half + 2 * h] - mean;
          if (position.holds(i, h)) squares = fmaf(above, above, squares);
        }
      }
      squares = add_lanes(squares);
      if (thread % 32 < 4) moments[thread / 32 * Channels + Fragments::channel(j) + half] = {mean, squares};
    }
  }
}

/// Those of a channel of the whole tile.
template <int Channels>
__device__ __forceinline__ Moments moments_of_tile(const Moments* moments, int channel,
                                                   const TilePosition<Channels>& position) {
  // Which warps hold the channel: as in add_warps().
  constexpr int step = TileFragments<Channels>::across / TileFragments<Channels>::together;
  const int first = channel / 32 % step;
  float sum = 0.0F;
#pragma unroll 1
  for (int warp = first; warp < tile_warps; warp += step)
    sum = fmaf(static_cast<float>(pixels_of_warp(warp, position)), moments[warp * Channels + channel].mean, sum);
  const float mean = sum / static_cast<float>(position.pixels());
  float m2 = 0.0F;
#pragma unroll 1
  for (int warp = first; warp < tile_warps; warp += step) {
    const Moments part = moments[warp * Channels + channel];
    const float above = part.mean - mean;
    m2 += fmaf(static_cast<float>(pixels_of_warp(warp, position)) * above, above, part.m2);
  }
  return {mean, m2};
}

/// Two channels of many tiles.
struct PairMoments {
  BatchMoments of[2];
};

/// Merges `parts` parts of two channels, `tiles` tiles each, from tile `first` on. `column`: the channels in moments
/// [tiles, Channels], where those of a part lie at its first tile.
template <int Channels>
__device__ __forceinline__ PairMoments merge_parts(const Moments* column, const TileGrid& grid, int first, int parts,
                                                   int tiles) {
  const auto part_at = [&](int tile) { return load<4>(&column[std::int64_t{tile} * Channels].mean); };
  const Vec<4> shift = part_at(first);
  MomentSums sums[2] = {};
  std::int64_t before = pixels_before<Channels>(grid, first);
#pragma unroll 4
  for (int i = 0; i < parts; ++i) {
    const int tile = first + i * tiles;
    const Vec<4> part = part_at(tile);
    const std::int64_t after = pixels_before<Channels>(grid, min(tile + tiles, grid.tiles));
    for (int e = 0; e < 2; ++e) {
      sums[e].add(about(static_cast<double>(shift.lane[2 * e]), Moments{part.lane[2 * e], part.lane[2 * e + 1]},
                        static_cast<int>(after - before)));
    }
    before = after;
  }
  return {{batch_moments(static_cast<double>(shift.lane[0]), sums[0]),
           batch_moments(static_cast<double>(shift.lane[2]), sums[1])}};
}

/// Calls body(candidate, channel) for every second channel of the candidates that want statistics: a thread each.
template <int Channels, typename Body>
__device__ __forceinline__ void for_each_pair(const ForwardGroup& group, const ForwardOutput* outputs, Body&& body) {
  constexpr int pairs = Channels / 2;
  for (int i = static_cast<int>(threadIdx.x); i < (group.end - group.first) * pairs; i += tile_threads) {
    const int k = group.first + i / pairs;
    if (outputs[k].normalisation != nullptr) body(k, i % pairs * 2);
  }
}

// --- kernel ---------------------------------------------------------------------------------------------------------

/// One tile of one group of candidates: grid (tiles, groups).
template <Product P, int Channels>
__global__ void __launch_bounds__(tile_threads, blocks_wanted<P, Channels>)
    state_bundle_forward_kernel(const __grid_constant__ ForwardParameters p) {
  SharedMemory shared;
  const TermMemory<P, Channels, true> memory(shared, p.region_pixels, p.taps);
  auto* const moments = shared.take<Moments>(tile_warps * Channels);
  const int thread = static_cast<int>(threadIdx.x);
  const int tile = static_cast<int>(blockIdx.x);
  const ForwardGroup group = p.groups[blockIdx.y];
  TilePosition<Channels> position(p.grid, tile);
  position.place_thread();
  const auto moments_of = [&](int k) { return p.moments + std::int64_t{k} * p.grid.tiles * Channels; };

  compute_candidates<P, Channels, true>(
      p.sources, p.candidates, group.first, group.end, position, memory,
      [&](int k) {
        if (thread < Channels && p.outputs[k].normalisation != nullptr) {
          moments_of(k)[std::int64_t{tile} * Channels + thread] = moments_of_tile(moments, thread, position);
        }
      },
      [&](int k, const TileFragments<Channels>& y) {
        const ForwardOutput& out = p.outputs[k];
        if (out.normalisation != nullptr) moments_of_warps(y, position, moments);
        if (out.y.data != nullptr) write_fragments<P, Channels>(out.y, p.grid, position, y);
      });

  const bool last =
      merge_blocks(tile, p.grid.tiles, p.grid.together, p.counters + static_cast<int>(blockIdx.y) * p.grid.counters(),
                   [&](int first, int members) {
                     for_each_pair<Channels>(group, p.outputs, [&](int k, int channel) {
                       Moments* const column = moments_of(k) + channel;
                       const PairMoments merged = merge_parts<Channels>(column, p.grid, first, members, 1);
                       store(&column[std::int64_t{first} * Channels].mean,
                             Vec<4>{{static_cast<float>(merged.of[0].mean), static_cast<float>(merged.of[0].m2),
                                     static_cast<float>(merged.of[1].mean), static_cast<float>(merged.of[1].m2)}});
                     });
                   });
  if (!last) return;
  for_each_pair<Channels>(group, p.outputs, [&](int k, int channel) {
    const ForwardOutput& out = p.outputs[k];
    const PairMoments merged =
        merge_parts<Channels>(moments_of(k) + channel, p.grid, 0, p.grid.counters() - 1, p.grid.together);
    for (int e = 0; e < 2; ++e) {
      if (channel + e < p.candidates[k].first || channel + e >= p.candidates[k].end) continue;
      write_normalisation(merged.of[e], p.bn.epsilon, out.normalisation, out.channels, channel + e);
      move_running(merged.of[e], p.bn.momentum, out.running, channel + e);
    }
  });
}

// --- launchers ------------------------------------------------------------------------------------------------------

/// Whether a candidate asks for anything.
bool wanted(const CandidateOutput& out) {
  return out.y || out.normalisation;
}

/// How the candidates of a launch are cut: everything that does not depend on where tensors lie.
struct ForwardPlan {
  struct Item {
    std::size_t state, candidate;
    int part;  // of a factorised reduce
  };
  struct Group {
    int first, end;  // items
    Margin margin;
  };
  std::vector<Item> items;
  std::vector<Group> groups;
  TileGrid grid{};
  int channels = 0;  // of a tile
  int region_pixels = 0;
  int taps = 0;

  ForwardPlan(int stride, std::span<const StateBundle> states) {
    std::int64_t widest = 0;
    std::vector<int> counts;
    for (std::size_t s = 0; s < states.size(); ++s) {
      const StateBundle& state = states[s];
      counts.push_back(0);
      for (std::size_t k = 0; k < state.candidates.size(); ++k) {
        if (!wanted(state.outputs[k])) continue;
        const Candidate& c = state.candidates[k];
        const Shape& x = state.source.x.shape;
        widest = std::max({widest, x[-1], output_channels(c, state.source)});
        grid.height = static_cast<int>(output_extent(c, stride, x[1]));
        grid.width = static_cast<int>(output_extent(c, stride, x[2]));
        grid.tiles = static_cast<int>(x[0]);
        for (int part = 0; part < parts_of(c); ++part)
          items.push_back({s, k, part});
        counts.back() += parts_of(c);
      }
    }
    if (items.empty()) return;
    channels = tile_channels(widest);
    grid = tile_grid(channels, grid.tiles, grid.height, grid.width);
    const int per_group = items_per_group(grid.tiles, counts);
    int first = 0;
    for (const int count : counts) {
      const int parts = (count + per_group - 1) / per_group;
      for (int part = 0; part < parts; ++part)
        add_group(stride, states, first + count * part / parts, first + count * (part + 1) / parts);
      first += count;
    }
  }

  [[nodiscard]] int counters() const { return static_cast<int>(groups.size()) * grid.counters(); }
  [[nodiscard]] std::size_t counters_bytes() const { return counter_bytes(static_cast<std::size_t>(counters())); }
  [[nodiscard]] std::size_t workspace() const {
    if (items.empty()) return 0;
    return counters_bytes() +
           items.size() * static_cast<std::size_t>(grid.tiles) * static_cast<std::size_t>(channels) * sizeof(Moments);
  }

 private:
  void add_group(int stride, std::span<const StateBundle> states, int first, int end) {
    Group group{first, end, {}};
    for (int i = first; i < end; ++i) {
      const Item& item = items[static_cast<std::size_t>(i)];
      const Candidate& c = states[item.state].candidates[item.candidate];
      group.margin.widen(margin_of(c));
      taps = std::max(taps, taps_of(c));
    }
    region_pixels = std::max(region_pixels, cuda::region_pixels(channels, stride, group.margin));
    groups.push_back(group);
  }
};

template <Product P, int Channels>
std::size_t forward_shared_bytes(int region_pixels, int taps) {
  return term_memory_bytes<P, Channels, true>(region_pixels, taps) + shared_bytes<Moments>(tile_warps * Channels);
}

ForwardParameters parameters_of(const ForwardPlan& plan, const BatchNorm& bn, int stride,
                                std::span<const StateBundle> states, std::span<std::byte> workspace) {
  ForwardParameters p{};
  for (std::size_t g = 0; g < plan.groups.size(); ++g) {
    const ForwardPlan::Group& group = plan.groups[g];
    p.groups[g] = {group.first, group.end};
    for (int i = group.first; i < group.end; ++i) {
      const auto [s, k, part] = plan.items[static_cast<std::size_t>(i)];
      const StateBundle& state = states[s];
      p.sources[g] = tile_source(state.source, stride);
      p.sources[g].before = group.margin.before;
      p.sources[g].after = group.margin.after;
      const TileCandidate c = tile_candidate(state.candidates[k], part, state.source, static_cast<int>(g));
      const CandidateOutput& out = state.outputs[k];
      p.candidates[i] = c;
      p.outputs[i] = {tile_tensor(out.y, c.first, c.end),
                      out.normalisation.f32(),
                      static_cast<int>(output_channels(state.candidates[k], state.source)),
                      {out.running.mean.f32(), out.running.var.f32()}};
    }
  }
  p.grid = plan.grid;
  p.region_pixels = plan.region_pixels;
  p.taps = plan.taps;
  p.bn = bn;
  p.counters = reinterpret_cast<unsigned*>(workspace.data());
  p.moments = reinterpret_cast<Moments*>(workspace.data() + plan.counters_bytes());
  return p;
}

}  // namespace

bool tile_fits(int stride, std::span<const SeparableWindow> windows, std::int64_t channels, Product product,
               std::size_t available) {
  if (channels > max_tile_channels) return false;
  Margin margin;
  int taps = 0;
  for (const SeparableWindow& w : windows) {
    margin.widen(margin_of(w));
    taps = std::max(taps, w.kernel * w.kernel);
  }
  const int tile = tile_channels(channels);
  return with_tile(product, tile, [&]<Product P, int Channels>() {
    return term_memory_bytes<P, Channels, true>(region_pixels(tile, stride, margin), taps) + bytes_beside(tile) <=
           available;
  });
}

TileLaunch state_bundle_forward_shape(int stride, std::span<const StateBundle> states, Product product) {
  const ForwardPlan plan(stride, states);
  if (plan.items.empty()) return {};
  return {plan.channels, plan.grid.tiles, static_cast<int>(plan.groups.size()), plan.counters(),
          with_tile(product, plan.channels, [&]<Product P, int Channels>() {
            return forward_shared_bytes<P, Channels>(plan.region_pixels, plan.taps);
          })};
}

std::size_t state_bundle_forward_workspace(int stride, std::span<const StateBundle> states) {
  return ForwardPlan(stride, states).workspace();
}

void state_bundle_forward(const BatchNorm& bn, int stride, std::span<const StateBundle> states, Product product,
                          std::span<std::byte> workspace, void* stream) {
  const ForwardPlan plan(stride, states);
  if (plan.items.empty() || plan.grid.tiles == 0) return;
  const ForwardParameters parameters = parameters_of(plan, bn, stride, states, workspace);
  const dim3 grid(static_cast<unsigned>(plan.grid.tiles), static_cast<unsigned>(plan.groups.size()));
  with_tile(product, plan.channels, [&]<Product P, int Channels>() {
    launch("state_bundle_forward", state_bundle_forward_kernel<P, Channels>,
           {grid, tile_threads, forward_shared_bytes<P, Channels>(plan.region_pixels, plan.taps)}, stream, parameters);
  });
}

}  // namespace dnas::kernels::cuda
