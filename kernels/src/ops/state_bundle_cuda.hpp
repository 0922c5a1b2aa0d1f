#pragma once

#include "core/product.hpp"
#include "dnas/kernels/node_reduction.hpp"
#include "dnas/kernels/normalisation.hpp"
#include "dnas/kernels/separable_bundle.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

// A cell of a supernet on the device: every candidate operation that reads a state in one launch, every candidate that
// enters a node in another. The host's contracts (separable_bundle.hpp, node_reduction.hpp, normalisation.hpp) hold,
// with three differences:
//
//   - pools and skips are candidates like the separable convolutions: the tile of the state that those need is theirs
//     too, so that no pooled tensor is stored, forward or backward;
//   - several states are taken by one launch;
//   - a source with a normalisation stands for the state s = (x - mean) * rstd. Separable candidates see relu(s), pools
//     and identities s itself; so a cell's preprocessed inputs and the first stages of its separable convolutions are
//     read in the same way, and neither is stored normalised;
//   - an output y may be left unstored (null view): its statistics are taken all the same, and the node computes it
//     again from the state's tile (docs/kernels.md counts when that is worth it).
//
// Device memory throughout; `stream` is a cudaStream_t. Tensors of states, outputs and gradients: f32, or all bf16 with
// Product::bf16; weights, statistics and gradients of weights: f32. Each may be a slice of channels: partial channels
// are that. At most max_tile_channels channels (bundle_tile.cuh) and windows that fit: tile_fits() forward and in
// nodes, state_bundle_backward_launch() backward. A stride of 1 or 2. Arguments are taken as checked. Asynchronous, no
// allocation, capture-safe, bitwise repeatable.
//
// A workspace begins at a multiple of 16 bytes and with counters, which are zero before its first use and again after
// each. Where they end depends on the shapes and on what is wanted, so a workspace serves launches of one operation
// with the same shapes and the same null views.
//
// Source of the candidates: Liu, Simonyan and Yang 2019, arXiv:1806.09055; docs/decisions/0006-outputs-on-chip.md says
// why no statistics come from Gram matrices. A launch passes up to 14 KB of parameters: CUDA 12.1, driver 530.
namespace dnas::kernels::cuda {

enum class CandidateKind : std::uint8_t {
  separable,  ///< relu, depthwise, pointwise: a dilated separable convolution, or one stage of a plain one
  max_pool,   ///< of the source as it is, over the window's positions inside the image
  avg_pool,   ///< likewise
  identity,   ///< the source itself; stride 1
  /// relu, then two 1x1 convolutions with stride 2, the second of the pixels one further down and right (0 beyond the
  /// image): `pointwise` [C_k, C], the rows of the first, which make the first C_k / 2 channels, above those of the
  /// second
  factorised_reduce,
};

/// A candidate operation without its tensors of the batch.
struct Candidate {
  CandidateKind kind = CandidateKind::identity;
  SeparableWindow window;  ///< of separable and the pools
  TensorView filter;       ///< [kernel, kernel, C]; separable only
  TensorView pointwise;    ///< [C_k, C]; separable and factorised_reduce
};

/// Shared memory that a block's arrays may take on a device: what it gives, less the little that kernels keep besides.
inline constexpr std::size_t h100_shared_bytes = 227 * 1024 - 256;
inline constexpr std::size_t a100_shared_bytes = 163 * 1024 - 256;

/// How a launch divides its work: pure functions of shapes, for planning and for tests.
struct TileLaunch {
  int channels = 0;  ///< of a tile: 16, 32 or 64
  int tiles = 0;     ///< of all images: first axis of the grid
  int groups = 0;    ///< of candidates or terms: second axis
  int counters = 0;  ///< at the front of the workspace
  std::size_t shared_bytes = 0;
};

/// Whether a state's windows, those of its pools among them, fit into a block's shared memory in the forward pass and
/// in nodes. `channels`: of the state or of an output, whichever are more. What does not fit is refused by the launch.
[[nodiscard]] bool tile_fits(int stride, std::span<const SeparableWindow> windows, std::int64_t channels,
                             Product product, std::size_t available = h100_shared_bytes);

// --- forward --------------------------------------------------------------------------------------------------------

struct CandidateOutput {
  TensorView y;              ///< [N, H', W', C_k]; null view: not stored. Written
  TensorView normalisation;  ///< [2, C_k], statistics of y as stored; null view (identity): none. Written
  RunningStatistics running;
};

/// What one state is asked for.
struct StateBundle {
  BundleSource source;
  std::span<const Candidate> candidates;
  std::span<const CandidateOutput> outputs;  ///< one per candidate
};

/// Most candidates of all states, or terms of a node, of one launch: they are kernel parameters. A factorised reduce
/// counts as two.
inline constexpr std::size_t max_launch_candidates = 64;

/// All sources have one shape. A grid with few tiles gets several groups of candidates.
[[nodiscard]] TileLaunch state_bundle_forward_shape(int stride, std::span<const StateBundle> states, Product product);

/// Bytes of device scratch.
[[nodiscard]] std::size_t state_bundle_forward_workspace(int stride, std::span<const StateBundle> states);

/// Outputs and statistics of all candidates of the states: one launch.
void state_bundle_forward(const BatchNorm& bn, int stride, std::span<const StateBundle> states, Product product,
                          std::span<std::byte> workspace, void* stream);

// --- nodes ----------------------------------------------------------------------------------------------------------

/// One term of a node: w[weight] * norm(candidate(source)).
struct NodeTerm {
  BundleSource source;
  Candidate candidate;
  int stride = 1;
  TensorView y;              ///< the candidate's output if it is stored; then `source` is not read
  TensorView normalisation;  ///< [2, C] of the output, or a null view: taken as it is
  std::int32_t weight = 0;   ///< flat position of its mixing weight
};

[[nodiscard]] TileLaunch node_forward_shape(std::span<const NodeTerm> terms, const Shape& node, Product product);

/// node = sum over the terms, [N, H', W', C]: one launch. Those with a stored y are added first. Terms of one source
/// should stand together: its tile is then loaded once.
void node_forward(std::span<const NodeTerm> terms, const TensorView& w, const TensorView& node, Product product,
                  void* stream);

/// Of all terms; a node with few tiles gets several groups of them.
[[nodiscard]] TileLaunch node_backward_shape(std::span<const NodeTerm> terms, const Shape& node, Product product);

/// Bytes of device scratch.
[[nodiscard]] std::size_t node_backward_workspace(std::span<const NodeTerm> terms, const Shape& node);

/// What g = dL/d(node) is for: dw[weight_k] += sum of g * norm_k (null view: not wanted; no two terms have one weight),
/// and per term its normalisation gradient [4, C] (normalisation.hpp; null view: not wanted). A term without a
/// normalisation gets scale = w[weight], slope = centre = offset = 0, so that the backward pass of the states treats
/// all terms alike. One launch.
void node_backward(std::span<const NodeTerm> terms, const TensorView& w, const TensorView& g, const TensorView& dw,
                   std::span<const TensorView> gradients, Product product, std::span<std::byte> workspace,
                   void* stream);

// --- backward -------------------------------------------------------------------------------------------------------

/// What reaches a candidate from its node: dy = scale * g + slope * (y - centre) + offset, formed where it is used.
struct CandidateGradient {
  Candidate candidate;
  TensorView y;           ///< stored; separable only: pools are computed again
  TensorView g;           ///< [N, H', W', C_k]
  TensorView gradient;    ///< [4, C_k]
  TensorView dfilter;     ///< overwritten; null view: not wanted
  TensorView dpointwise;  ///< likewise
};

struct StateGradient {
  BundleSource source;
  std::span<const CandidateGradient> candidates;
  TensorView dx;  ///< the gradient of s: [s > 0] times that of the separable candidates, plus that of the others
  Write write = Write::overwrite;
  TensorView normalisation;  ///< of a source with a normalisation: the gradient [4, C] that makes dx that of x; or null
};

[[nodiscard]] std::size_t state_bundle_backward_workspace(int stride, std::span<const StateGradient> states);

/// Gradients of the states and of their candidates' weights: one launch. dx may overlap no other tensor.
void state_bundle_backward(int stride, std::span<const StateGradient> states, Product product,
                           std::span<std::byte> workspace, void* stream);

}  // namespace dnas::kernels::cuda
