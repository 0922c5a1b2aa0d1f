#pragma once

#include "dnas/engine/graph.hpp"
#include "dnas/kernels/batch_norm.hpp"
#include "dnas/kernels/conv.hpp"
#include "dnas/kernels/depthwise_conv.hpp"
#include "dnas/kernels/pointwise_conv.hpp"
#include "dnas/kernels/pool.hpp"

#include <cstdint>
#include <span>
#include <string>

/// The operations a network is built of. Each function appends nodes to the graph and returns the result; tensors are
/// NHWC. `name` is the state_dict prefix of the layer: parameters are name + ".weight", name + ".running_mean" ...
namespace dnas::engine::nodes {

/// The constant 0, f32. Has no gradient.
[[nodiscard]] ValueId zeros(Graph& graph, const TensorType& type);

/// `channels` channels of x [N, H, W, C] from `first_channel` on, without a copy. @throws ShapeError if x has fewer
[[nodiscard]] ValueId slice(Graph& graph, ValueId x, std::int64_t first_channel, std::int64_t channels);

/// Channel j * groups + g of the result is channel g * (C / groups) + j of x: what follows by groups sees all of them.
/// @throws ShapeError if groups does not divide C
[[nodiscard]] ValueId channel_shuffle(Graph& graph, ValueId x, std::int64_t groups);

[[nodiscard]] ValueId relu(Graph& graph, ValueId x);
/// min(max(x, 0), 6)
[[nodiscard]] ValueId relu6(Graph& graph, ValueId x);

/// Adds name.bias [C], which starts as zeros, to every pixel.
[[nodiscard]] ValueId bias(Graph& graph, ValueId x, const std::string& name);

/// Bias-free depthwise convolution; owns name.weight [k, k, C].
[[nodiscard]] ValueId depthwise_conv(Graph& graph, ValueId x, const std::string& name,
                                     const kernels::DepthwiseConv& conv);

/// Bias-free 1x1 convolution; owns name.weight [out_channels, C / groups].
[[nodiscard]] ValueId pointwise_conv(Graph& graph, ValueId x, const std::string& name, std::int64_t out_channels,
                                     const kernels::PointwiseConv& conv = {});

/// Bias-free full convolution; owns name.weight [out_channels, kh, kw, C].
[[nodiscard]] ValueId conv(Graph& graph, ValueId x, const std::string& name, std::int64_t out_channels,
                           const kernels::Conv& conv);

/// Batch normalisation: batch statistics in Mode::train (moving name.running_mean/var), running ones in Mode::eval,
/// which then are constants to the gradient. With `affine` owns name.weight and name.bias.
/// @throws ConfigError if epsilon is not positive or momentum outside [0, 1]
[[nodiscard]] ValueId batch_norm(Graph& graph, ValueId x, const std::string& name, bool affine,
                                 const kernels::BatchNorm& settings = {});

[[nodiscard]] ValueId max_pool(Graph& graph, ValueId x, const kernels::Pool& pool);
/// Padding is not counted in the divisor.
[[nodiscard]] ValueId avg_pool(Graph& graph, ValueId x, const kernels::Pool& pool);
/// [N, H, W, C] -> [N, C]
[[nodiscard]] ValueId global_avg_pool(Graph& graph, ValueId x);

/// [N, I] -> [N, out]; owns name.weight [out, I] and name.bias [out].
[[nodiscard]] ValueId linear(Graph& graph, ValueId x, const std::string& name, std::int64_t out);

/// A term of a weighted sum: x times element `index` of the flattened weights.
struct Term {
  ValueId x = no_value;
  std::int32_t index = 0;
};
/// sum of weights[index] * x over the terms: one supernet node. `weights` is a dense f32 value, usually a graph input.
[[nodiscard]] ValueId weighted_sum(Graph& graph, std::span<const Term> terms, ValueId weights);

/// Plain sum.
[[nodiscard]] ValueId add(Graph& graph, std::span<const ValueId> terms);

// Nodes that draw. `random` is an i64 [2] input {seed, step} of the graph, `site` a number of the node's own below
// 2^24: equal keys and sites give equal draws, whatever the threads (kernels/draws.hpp). `rate` is an f32 [1] input in
// [0, 1). In Mode::eval all but normal_noise are left out. Only x has a gradient.

/// Drops elements with probability `rate` and scales the others by 1 / (1 - rate).
[[nodiscard]] ValueId dropout(Graph& graph, ValueId x, ValueId rate, ValueId random, std::int64_t site);
/// Drops whole images of x [N, H, W, C] likewise.
[[nodiscard]] ValueId drop_path(Graph& graph, ValueId x, ValueId rate, ValueId random, std::int64_t site);
/// x + factor * std(x) * n, n standard normal, with the deviation over all of x; the gradient takes it as a constant.
[[nodiscard]] ValueId gaussian_noise(Graph& graph, ValueId x, float factor, ValueId random, std::int64_t site);
/// Standard normal values instead of an x.
[[nodiscard]] ValueId normal_noise(Graph& graph, const TensorType& type, ValueId random, std::int64_t site);

/// Softmax cross-entropy with label smoothing, mean over the batch: a scalar loss [1].
[[nodiscard]] ValueId cross_entropy(Graph& graph, ValueId logits, ValueId labels, float label_smoothing);

}  // namespace dnas::engine::nodes
