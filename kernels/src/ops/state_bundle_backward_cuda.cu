#include "ops/state_bundle_backward_launch.hpp"
#include "ops/state_bundle_cuda.hpp"

#include "core/add_blocks.cuh"
#include "core/launch.cuh"
#include "core/shared_memory.cuh"
#include "ops/bundle_backward_data.cuh"
#include "ops/bundle_backward_plan.cuh"
#include "ops/bundle_backward_weights.cuh"

namespace dnas::kernels::cuda {
namespace {

using namespace bundle_backward;

// --- sums over blocks -----------------------------------------------------------------------------------------------

/// Elements from `first` on of an array of `elements`, of which the tensor takes what lies in it.
__device__ __forceinline__ void store_part(int first, const Vec<4>& value, int elements, float* to) {
  if (to == nullptr || first < 0 || first >= elements) return;
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    if (first + j < elements) to[first + j] = value.lane[j];
  }
}

/// The blocks' partial sums of a state become gradients.
__device__ __forceinline__ void finish_sums(const Launch& launch, const StateArgument& state, unsigned* counters,
                                            float* partials) {
  const int channels = launch.geometry.channels;
  const auto finish = [&](int i, const Vec<4>& sum) {
    for (int k = state.first; k < state.factorised_end; ++k) {
      const CandidateArgument& c = launch.candidates[k];
      store_part(i - c.filter_sums, sum, c.kernel * c.kernel * channels, c.dfilter);
      store_part(i - c.pointwise_sums, sum, c.g.channels * channels, c.dpointwise);
    }
    if (state.gradient == nullptr || i < state.sums) return;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int channel = (i + j - state.sums) % channels;
      const double rstd = static_cast<double>(state.normalisation[rstd_row * channels + channel]);
      const double mean = static_cast<double>(sum.lane[j]) / static_cast<double>(launch.geometry.pixels);
      if (i + j < state.sums + channels) {  // of dx
        state.gradient[scale_row * channels + channel] = static_cast<float>(rstd);
        state.gradient[centre_row * channels + channel] = state.normalisation[mean_row * channels + channel];
        state.gradient[offset_row * channels + channel] = static_cast<float>(-rstd * mean);
      } else if (i + j < state.sums + 2 * channels) {  // of dx * s, which is dx * (x - mean) rstd
        state.gradient[slope_row * channels + channel] = static_cast<float>(-rstd * rstd * mean);
      }
    }
  };
  const auto blocks = static_cast<int>(gridDim.x);
  add_blocks<tile_threads>(partials, state.entries, static_cast<int>(blockIdx.x), blocks, add_group(blocks), counters,
                           finish);
}

// --- kernel ---------------------------------------------------------------------------------------------------------

template <Product P, int Channels, bool Weights>
__global__ void __launch_bounds__(tile_threads, Channels == 16 ? 2 : 1)
    backward_kernel(const __grid_constant__ Launch launch) {
  const Geometry& geometry = launch.geometry;
  const StateArgument& state = launch.states[blockIdx.y];
  SharedMemory memory;
  SharedArrays shared;
  shared.arena = memory.take<float>(geometry.arena / 4);
  shared.weights = memory.take<float>(Channels * weights_pitch<Channels>);
  shared.gradient_rows = memory.take<float>(geometry.gradient_rows);
  shared.filter = memory.take<float>(geometry.filter);
  shared.sums = memory.take<float>(geometry.sums);

  float* const partials = launch.partials + state.partials;
  float* const partial = partials + std::int64_t{blockIdx.x} * state.entries;
  for (int i = this_thread(); i < state.entries; i += tile_threads)
    partial[i] = 0.0F;
  __syncthreads();

  const int first = static_cast<int>(blockIdx.x) * geometry.tiles_per_block;
  for (int tile = first; tile < first + geometry.tiles_per_block && tile < geometry.tiles; ++tile)
    data_tile<P, Channels, Weights>(launch, state, tile, shared, partial);
  if constexpr (Weights) {
    for (int tile = static_cast<int>(blockIdx.x); tile < geometry.out_tiles; tile += static_cast<int>(gridDim.x)) {
      if (geometry.stride == 1) {
        weight_tile<P, Channels, 1>(launch, state, tile, shared, partial);
      } else {
        weight_tile<P, Channels, 2>(launch, state, tile, shared, partial);
      }
    }
  }
  if (state.entries > 0)
    finish_sums(launch, state,
                launch.counters + static_cast<int>(blockIdx.y) * add_counters(static_cast<int>(gridDim.x)), partials);
}

// --- launcher -------------------------------------------------------------------------------------------------------

template <Product P, int Channels>
void launch_kernel(const Launch& arguments, const Plan& plan, std::size_t states, void* stream) {
  const LaunchShape shape({plan.launch.blocks, static_cast<unsigned>(states)}, tile_threads, plan.launch.shared);
  const auto kernel = plan.weights ? backward_kernel<P, Channels, true> : backward_kernel<P, Channels, false>;
  launch("state_bundle_backward", kernel, shape, stream, arguments);
}

template <Product P>
void launch_product(const Launch& arguments, const Plan& plan, std::size_t states, void* stream) {
  const auto launch_channels = plan.launch.channels == 16   ? launch_kernel<P, 16>
                               : plan.launch.channels == 32 ? launch_kernel<P, 32>
                                                            : launch_kernel<P, 64>;
  launch_channels(arguments, plan, states, stream);
}

}  // namespace

StateBundleBackwardLaunch state_bundle_backward_launch(int stride, std::span<const StateGradient> states,
                                                       Product product, std::size_t available) {
  return states.empty() ? StateBundleBackwardLaunch{}
                        : bundle_backward::plan_for(stride, states, product, available).launch;
}

std::size_t state_bundle_backward_workspace(int stride, std::span<const StateGradient> states) {
  return state_bundle_backward_launch(stride, states, Product::tf32).workspace;  // the same for all products
}

void state_bundle_backward(int stride, std::span<const StateGradient> states, Product product,
                           std::span<std::byte> workspace, void* stream) {
  if (states.empty()) return;
  const bundle_backward::Plan plan = bundle_backward::plan_for(stride, states, product, h100_shared_bytes);
  const bundle_backward::Launch arguments = bundle_backward::arguments_of(states, plan, workspace);
  const auto launch_it = product == Product::tf32x3 ? launch_product<Product::tf32x3>
                         : product == Product::tf32 ? launch_product<Product::tf32>
                                                    : launch_product<Product::bf16>;
  launch_it(arguments, plan, states.size(), stream);
}

}  // namespace dnas::kernels::cuda
