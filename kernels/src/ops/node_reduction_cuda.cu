#include "core/add_blocks.cuh"
#include "core/launch.cuh"
#include "core/shared_memory.cuh"
#include "core/vec.cuh"
#include "core/warp_rows.cuh"
#include "ops/bundle_term.cuh"
#include "ops/state_bundle_cuda.hpp"

#include <vector>

namespace dnas::kernels::cuda {
namespace {

constexpr int max_terms = static_cast<int>(max_launch_candidates);

// --- what the kernels are given -------------------------------------------------------------------------------------

/// A term, or one of the two convolutions of a factorised reduce that is computed.
struct Term {
  TileTensor y;  // of a computed one the channels only
  const float* normalisation;
  float* gradient;  // [4, C], backward only; null: not wanted
  std::int32_t weight;
  bool continues;  // the term before
};

struct NodeParameters {
  TileSource sources[max_terms];  // of each run of computed terms one
  TileCandidate candidates[max_terms];
  Term terms[max_terms];
  int stored;  // of them; the terms behind are computed
  int count;
  TileGrid grid;
  TileTensor node;  // its gradient in the backward pass
  const float* w;
  int region_pixels, taps;
};

struct NodeBackwardParameters {
  NodeParameters node;
  int first_of_group[max_terms + 1];
  int most_of_group;  // terms
  double pixels;      // of all images
  float* dw;
  unsigned* counters;  // [groups, grid.counters()]
  float* partials;     // of each group [tiles, 1 + terms, Channels]: sums of g, then of g * (y - mean) per term
};

/// What a kernel is able to compute of its terms.
enum class Computes : std::uint8_t {
  nothing,  // all are stored
  pools,    // and identities
  all,
};

/// Blocks on a multiprocessor that the registers of a kernel leave room for.
template <Computes Computed>
constexpr int blocks_wanted_of = Computed == Computes::all ? 2 : 3;

// --- device helpers -------------------------------------------------------------------------------------------------

/// What is subtracted from a term's channel and what it is multiplied with, 0 in channels it has not.
struct Affine {
  float mean, scale;
};

__device__ __forceinline__ Affine affine_of(const NodeParameters& p, int k, int channel) {
  const Term& term = p.terms[k];
  if (channel < term.y.first || channel >= term.y.end) return {0.0F, 0.0F};
  const float w = p.w[term.weight];
  if (term.normalisation == nullptr) return {0.0F, w};
  const int channels = p.node.end;
  return {term.normalisation[mean_row * channels + channel], w * term.normalisation[rstd_row * channels + channel]};
}

// --- kernels --------------------------------------------------------------------------------------------------------

/// One tile of the node.
template <Product P, int Channels, Computes Computed>
__global__ void __launch_bounds__(tile_threads, blocks_wanted_of<Computed>)
    node_forward_kernel(const __grid_constant__ NodeParameters p) {
  using Fragments = TileFragments<Channels>;
  SharedMemory shared;
  auto* const affine = shared.take<float>(p.count * 2 * Channels);  // [terms, mean and scale, Channels]
  for (int i = static_cast<int>(threadIdx.x); i < p.count * Channels; i += tile_threads) {
    const int k = i / Channels;
    const int channel = i % Channels;
    const Affine a = affine_of(p, k, channel);
    affine[2 * k * Channels + channel] = a.mean;
    affine[(2 * k + 1) * Channels + channel] = a.scale;
  }
  __syncthreads();

  TilePosition<Channels> position(p.grid, static_cast<int>(blockIdx.x));
  position.place_thread();
  Fragments node;
  const auto add = [&](int k, const Fragments& y) {
#pragma unroll
    for (int i = 0; i < Fragments::count; ++i) {
      const int at = 2 * k * Channels + Fragments::channel(i);
      const Vec<2> mean = load<2>(affine + at);
      const Vec<2> scale = load<2>(affine + at + Channels);
#pragma unroll
      for (int e = 0; e < 4; ++e)
        node.value[i][e] = fmaf(scale.lane[e % 2], y.value[i][e] - mean.lane[e % 2], node.value[i][e]);
    }
  };
#pragma unroll 1
  for (int k = 0; k < p.stored; ++k) {
    Fragments y;
    read_fragments<P, Channels>(p.terms[k].y, p.grid, position, y);
    add(k, y);
  }
  if constexpr (Computed != Computes::nothing) {
    constexpr bool weighted = Computed == Computes::all;
    const TermMemory<P, Channels, weighted> memory(shared, p.region_pixels, p.taps);
    compute_candidates<P, Channels, weighted>(
        p.sources, p.candidates, p.stored, p.count, position, memory, [](int /*k*/) {}, add);
  }
  write_fragments<P, Channels>(p.node, p.grid, position, node);
}

/// From the sums over all tiles, [Channels] each in shared memory: the normalisation gradient of a term, and sum of g *
/// norm(y) over its channels. By one warp.
template <int Channels>
__device__ __forceinline__ double finish_term(const NodeBackwardParameters& p, int k, const float* of_g,
                                              const float* of_gy) {
  const Term& term = p.node.terms[k];
  const int channels = p.node.node.end;
  const auto weight = static_cast<double>(p.node.w[term.weight]);
  double dot = 0.0;
  for (int channel = term.y.first + lane_id(); channel < term.y.end; channel += 32) {
    const auto q = static_cast<double>(of_gy[channel]);
    float mean = 0.0F;
    double scale = weight;
    double slope = 0.0;
    double offset = 0.0;
    if (term.normalisation == nullptr) {
      dot += q;
    } else {
      mean = term.normalisation[mean_row * channels + channel];
      const auto rstd = static_cast<double>(term.normalisation[rstd_row * channels + channel]);
      dot += rstd * q;
      scale = weight * rstd;
      slope = -scale * rstd * rstd * q / p.pixels;
      offset = -scale * static_cast<double>(of_g[channel]) / p.pixels;
    }
    if (term.gradient != nullptr) {
      term.gradient[scale_row * channels + channel] = static_cast<float>(scale);
      term.gradient[slope_row * channels + channel] = static_cast<float>(slope);
      term.gradient[centre_row * channels + channel] = mean;
      term.gradient[offset_row * channels + channel] = static_cast<float>(offset);
    }
  }
  return warp_sum(dot);
}

/// One tile of one group of terms: grid (tiles, groups).
template <Product P, int Channels, Computes Computed>
__global__ void __launch_bounds__(tile_threads, Channels == 16                  ? blocks_wanted_of<Computed>
                                                : Computed == Computes::nothing ? 3
                                                                                : 2)
    node_backward_kernel(const __grid_constant__ NodeBackwardParameters p) {
  using Fragments = TileFragments<Channels>;
  __shared__ double dots[max_terms];
  const NodeParameters& node = p.node;
  const int group = static_cast<int>(blockIdx.y);
  const int first = p.first_of_group[group];
  const int end = p.first_of_group[group + 1];
  const int tile = static_cast<int>(blockIdx.x);
  const int thread = static_cast<int>(threadIdx.x);
  SharedMemory shared;
  auto* const sums = shared.take<float>(2 * tile_warps * Channels);  // used in turns
  auto* const means = shared.take<float>(p.most_of_group * Channels);
  for (int i = thread; i < (end - first) * Channels; i += tile_threads)
    means[i] = affine_of(node, first + i / Channels, i % Channels).mean;

  // Step 0 sums g, step n the products with term first + n - 1. A step's sums over warps are added behind the next
  // barrier.
  const auto sums_of = [&](int step) { return sums + step % 2 * tile_warps * Channels; };
  // Where partial sums go is found anew by each step: in registers it would be in the way of the pools.
  const auto elements = [&] { return (1 + end - opaque(first)) * Channels; };
  const auto partials = [&] { return p.partials + std::int64_t{opaque(first) + group} * node.grid.tiles * Channels; };
  const auto settle = [&](int step) {
    if (thread < Channels) {
      partials()[std::int64_t{blockIdx.x} * elements() + step * Channels + thread] =
          add_warps<Channels>(sums_of(step), thread);
    }
  };
  TilePosition<Channels> position(node.grid, tile);
  position.place_thread();
  Fragments g;
  read_fragments<P, Channels>(node.node, node.grid, position, g);
  sum_pixels<Channels>(sums_of(0), [&](int i, int e) { return g.value[i][e]; });
  const auto consume = [&](int k, const Fragments& y) {
    const float* const mean = means + (k - first) * Channels;
    sum_pixels<Channels>(sums_of(k - first + 1), [&](int i, int e) {
      return g.value[i][e] * (y.value[i][e] - mean[Fragments::channel(i) + e % 2]);
    });
  };
  const int stored = end < node.stored ? end : node.stored;
#pragma unroll 1
  for (int k = first; k < stored; ++k) {
    Fragments y;
    read_fragments<P, Channels>(node.terms[k].y, node.grid, position, y);
    __syncthreads();
    settle(k - first);
    consume(k, y);
  }
  __syncthreads();
  settle((stored > first ? stored : first) - first);
  if constexpr (Computed != Computes::nothing) {
    constexpr bool weighted = Computed == Computes::all;
    const TermMemory<P, Channels, weighted> memory(shared, node.region_pixels, node.taps);
    compute_candidates<P, Channels, weighted>(
        node.sources, node.candidates, stored > first ? stored : first, end, position, memory,
        [&](int k) { settle(k - first + 1); }, consume);
  }

  // Sums and means are done with: they receive the sums over all tiles.
  const bool last = add_blocks<tile_threads>(
      partials(), elements(), static_cast<int>(blockIdx.x), node.grid.tiles, node.grid.together,
      p.counters + group * node.grid.counters(),
      [&](int i, const Vec<4>& sum) { store(i < Channels ? sums + i : means + i - Channels, sum); });
  if (!last) return;
  __syncthreads();
  for (int k = first + thread / 32; k < end; k += tile_warps) {
    const double dot = finish_term<Channels>(p, k, sums, means + (k - first) * Channels);
    if (thread % 32 == 0) dots[k - first] = dot;
  }
  __syncthreads();
  if (p.dw == nullptr) return;
  for (int k = first + thread; k < end; k += tile_threads) {
    if (node.terms[k].continues) continue;
    double dot = dots[k - first];
    if (k + 1 < end && node.terms[k + 1].continues) dot += dots[k - first + 1];
    p.dw[node.terms[k].weight] += static_cast<float>(dot);
  }
}

// --- launchers ------------------------------------------------------------------------------------------------------

/// In which order the terms of a node are taken, and how: everything that does not depend on where tensors lie, but for
/// which terms have the same source.
struct NodePlan {
  struct Item {
    std::size_t term;
    int part;  // of a factorised reduce that is computed
    int source;
  };
  struct Source {
    std::size_t term;  // one that reads it
    Margin margin;
  };
  std::vector<Item> items;
  std::vector<Source> sources;
  int stored = 0;
  Computes computes = Computes::nothing;
  int channels = 0;  // of a tile
  TileGrid grid{};
  int region_pixels = 0;
  int taps = 0;

  template <typename Wanted>
  NodePlan(std::span<const NodeTerm> terms, const Shape& node, Wanted&& wanted) {
    std::int64_t widest = node[-1];
    for (std::size_t k = 0; k < terms.size(); ++k) {
      if (wanted(k) && tensor_of(terms[k])) items.push_back({k, 0, 0});
    }
    stored = static_cast<int>(items.size());
    for (std::size_t k = 0; k < terms.size(); ++k) {
      if (!wanted(k) || tensor_of(terms[k])) continue;
      const NodeTerm& term = terms[k];
      widest = std::max(widest, term.source.x.channels());
      if (sources.empty() || !same_source(terms[sources.back().term], term)) sources.push_back({k, {}});
      sources.back().margin.widen(margin_of(term.candidate));
      if (has_weights(term.candidate)) {
        computes = Computes::all;
      } else if (computes == Computes::nothing) {
        computes = Computes::pools;
      }
      taps = std::max(taps, taps_of(term.candidate));
      for (int part = 0; part < parts_of(term.candidate); ++part)
        items.push_back({k, part, static_cast<int>(sources.size()) - 1});
    }
    channels = tile_channels(widest);
    grid = tile_grid(channels, node[0], node[1], node[2]);
    for (const Source& s : sources)
      region_pixels = std::max(region_pixels, cuda::region_pixels(channels, terms[s.term].stride, s.margin));
  }

  [[nodiscard]] int count() const { return static_cast<int>(items.size()); }

  /// What is read in place of a term's candidate: its output, or the source of an identity.
  [[nodiscard]] static TensorView tensor_of(const NodeTerm& term) {
    const bool plain = term.candidate.kind == CandidateKind::identity && !term.source.normalisation;
    return term.y ? term.y : plain ? term.source.x : TensorView{};
  }

  [[nodiscard]] NodeParameters parameters(std::span<const NodeTerm> terms, const TensorView& w,
                                          const TensorView& node) const {
    NodeParameters p{};
    for (std::size_t s = 0; s < sources.size(); ++s) {
      const NodeTerm& term = terms[sources[s].term];
      p.sources[s] = tile_source(term.source, term.stride);
      p.sources[s].before = sources[s].margin.before;
      p.sources[s].after = sources[s].margin.after;
    }
    const auto node_channels = static_cast<int>(node.channels());
    for (int i = 0; i < count(); ++i) {
      const Item& item = items[static_cast<std::size_t>(i)];
      const NodeTerm& term = terms[item.term];
      TileTensor y = tile_tensor(tensor_of(term), 0, node_channels);
      if (i >= stored) {
        p.candidates[i] = tile_candidate(term.candidate, item.part, term.source, item.source);
        y.first = p.candidates[i].first;
        y.end = p.candidates[i].end;
      }
      p.terms[i] = {y, term.normalisation.f32(), nullptr, term.weight, item.part > 0};
    }
    p.stored = stored;
    p.count = count();
    p.grid = grid;
    p.node = tile_tensor(node, 0, node_channels);
    p.w = w.f32();
    p.region_pixels = region_pixels;
    p.taps = taps;
    return p;
  }

 private:
  static bool same_source(const NodeTerm& a, const NodeTerm& b) {
    const TensorView& x = a.source.x;
    const TensorView& y = b.source.x;
    return x.data == y.data && x.shape == y.shape && x.pixel_stride == y.pixel_stride &&
           a.source.normalisation.data == b.source.normalisation.data && a.stride == b.stride;
  }
};

/// Of the TermMemory, if there is one.
template <Product P, int Channels>
std::size_t computing_bytes(const NodePlan& plan) {
  switch (plan.computes) {
    case Computes::nothing:
      return 0;
    case Computes::pools:
      return term_memory_bytes<P, Channels, false>(plan.region_pixels, plan.taps);
    case Computes::all:
      break;
  }
  return term_memory_bytes<P, Channels, true>(plan.region_pixels, plan.taps);
}

template <Product P, int Channels>
std::size_t forward_shared_bytes(const NodePlan& plan) {
  return shared_bytes<float>(static_cast<std::size_t>(plan.count()) * 2 * Channels) +
         computing_bytes<P, Channels>(plan);
}

/// Terms of a node's gradient, cut into groups.
struct NodeBackwardPlan {
  NodePlan node;
  std::vector<int> first_of_group;  // and the end of the last

  template <typename Wanted>
  NodeBackwardPlan(std::span<const NodeTerm> terms, const Shape& shape, Wanted&& wanted) : node(terms, shape, wanted) {
    // With fewer terms never more groups: the workspace for all terms serves a launch for some of them.
    const int tiles = std::max(node.grid.tiles, 1);
    const int groups = std::min(node.count(), (launch_blocks + tiles - 1) / tiles);
    for (int g = 0; g < groups; ++g) {
      int first = node.count() * g / groups;
      // Both convolutions of a factorised reduce add to one mixing weight.
      while (first < node.count() && node.items[static_cast<std::size_t>(first)].part > 0)
        ++first;
      if (first_of_group.empty() || first > first_of_group.back()) first_of_group.push_back(first);
    }
    first_of_group.push_back(node.count());
  }

  [[nodiscard]] int groups() const { return static_cast<int>(first_of_group.size()) - 1; }
  [[nodiscard]] int most_of_group() const {
    int most = 0;
    for (std::size_t g = 1; g < first_of_group.size(); ++g)
      most = std::max(most, first_of_group[g] - first_of_group[g - 1]);
    return most;
  }
  [[nodiscard]] int counters() const { return groups() * node.grid.counters(); }
  [[nodiscard]] std::size_t counters_bytes() const { return counter_bytes(static_cast<std::size_t>(counters())); }
  [[nodiscard]] std::size_t workspace() const {
    return counters_bytes() + static_cast<std::size_t>(node.count() + groups()) *
                                  static_cast<std::size_t>(node.grid.tiles) * static_cast<std::size_t>(node.channels) *
                                  sizeof(float);
  }
};

template <Product P, int Channels>
std::size_t backward_shared_bytes(const NodeBackwardPlan& plan) {
  return shared_bytes<float>(2 * tile_warps * Channels) +
         shared_bytes<float>(static_cast<std::size_t>(plan.most_of_group()) * Channels) +
         computing_bytes<P, Channels>(plan.node);
}

/// Calls body.template operator()<P, Channels, Computed>(). Without weights the product is only a storage type.
template <typename Body>
void with_node(const NodePlan& plan, Product product, Body&& body) {
  const bool weighted = plan.computes == Computes::all;
  const Product kept = weighted || product == Product::bf16 ? product : Product::tf32;
  with_tile(kept, plan.channels, [&]<Product P, int Channels>() {
    if (weighted) {
      body.template operator()<P, Channels, Computes::all>();
    } else if constexpr (P != Product::tf32x3) {
      if (plan.computes == Computes::pools) {
        body.template operator()<P, Channels, Computes::pools>();
      } else {
        body.template operator()<P, Channels, Computes::nothing>();
      }
    }
  });
}

constexpr auto all_terms = [](std::size_t /*k*/) { return true; };

}  // namespace

TileLaunch node_forward_shape(std::span<const NodeTerm> terms, const Shape& node, Product product) {
  const NodePlan plan(terms, node, all_terms);
  return {plan.channels, plan.grid.tiles, 1, 0, with_tile(product, plan.channels, [&]<Product P, int Channels>() {
            return forward_shared_bytes<P, Channels>(plan);
          })};
}

void node_forward(std::span<const NodeTerm> terms, const TensorView& w, const TensorView& node, Product product,
                  void* stream) {
  const NodePlan plan(terms, node.shape, all_terms);
  if (plan.grid.tiles == 0) return;
  const NodeParameters parameters = plan.parameters(terms, w, node);
  with_node(plan, product, [&]<Product P, int Channels, Computes Computed>() {
    launch("node_forward", node_forward_kernel<P, Channels, Computed>,
           {static_cast<unsigned>(plan.grid.tiles), tile_threads, forward_shared_bytes<P, Channels>(plan)}, stream,
           parameters);
  });
}

TileLaunch node_backward_shape(std::span<const NodeTerm> terms, const Shape& node, Product product) {
  const NodeBackwardPlan plan(terms, node, all_terms);
  return {plan.node.channels, plan.node.grid.tiles, plan.groups(), plan.counters(),
          with_tile(product, plan.node.channels,
                    [&]<Product P, int Channels>() { return backward_shared_bytes<P, Channels>(plan); })};
}

std::size_t node_backward_workspace(std::span<const NodeTerm> terms, const Shape& node) {
  return NodeBackwardPlan(terms, node, all_terms).workspace();
}

void node_backward(std::span<const NodeTerm> terms, const TensorView& w, const TensorView& g, const TensorView& dw,
                   std::span<const TensorView> gradients, Product product, std::span<std::byte> workspace,
                   void* stream) {
  const auto gradient = [&](std::size_t k) { return k < gradients.size() ? gradients[k] : TensorView{}; };
  const NodeBackwardPlan plan(terms, g.shape, [&](std::size_t k) { return dw || gradient(k); });
  if (plan.node.grid.tiles == 0 || plan.node.count() == 0) return;
  NodeBackwardParameters p{};
  p.node = plan.node.parameters(terms, w, g);
  for (int i = 0; i < plan.node.count(); ++i)
    p.node.terms[i].gradient = gradient(plan.node.items[static_cast<std::size_t>(i)].term).f32();
  std::copy(plan.first_of_group.begin(), plan.first_of_group.end(), p.first_of_group);
  p.most_of_group = plan.most_of_group();
  p.pixels = static_cast<double>(g.pixels());
  p.dw = dw.f32();
  p.counters = reinterpret_cast<unsigned*>(workspace.data());
  p.partials = reinterpret_cast<float*>(workspace.data() + plan.counters_bytes());
  const dim3 grid(static_cast<unsigned>(plan.node.grid.tiles), static_cast<unsigned>(plan.groups()));
  with_node(plan.node, product, [&]<Product P, int Channels, Computes Computed>() {
    launch("node_backward", node_backward_kernel<P, Channels, Computed>,
           {grid, tile_threads, backward_shared_bytes<P, Channels>(plan)}, stream, p);
  });
}

}  // namespace dnas::kernels::cuda
