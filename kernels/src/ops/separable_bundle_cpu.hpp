#pragma once

#include "dnas/kernels/separable_bundle.hpp"

namespace dnas::kernels::cpu {

std::size_t separable_bundle_forward_workspace(const Context& ctx, const SeparableBundle& bundle, const Shape& x,
                                               std::span<const std::int64_t> out_channels);
void separable_bundle_forward(const Context& ctx, const SeparableBundle& bundle, const BatchNorm& bn,
                              const BundleSource& source, std::span<const BundleTerm> terms,
                              std::span<std::byte> workspace);

std::size_t separable_bundle_backward_workspace(const Context& ctx, const SeparableBundle& bundle, const Shape& x,
                                                std::span<const std::int64_t> out_channels);
void separable_bundle_backward(const Context& ctx, const SeparableBundle& bundle, const BundleSource& source,
                               std::span<const BundleTermGradient> terms, const BundleSourceGradient& gradient,
                               std::span<std::byte> workspace);

}  // namespace dnas::kernels::cpu
